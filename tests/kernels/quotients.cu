// What `quotient` makes of numbers and divisors (test_windows.py).
#include "windows.cuh"

__global__ void quotients(const int* n, const unsigned long long* reciprocals, int* found, int count) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i < count) found[i] = quotient(n[i], reciprocals[i]);
}
