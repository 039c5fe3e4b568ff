// Kernels that use the instructions of ptx.cuh and the conversions of common.cuh, to be compared with NumPy.
#include "ptx.cuh"

// d (16 × 8) = 1 + a (16 × 16) b (16 × 8) by one warp, with the last row of b taken as zeros. b's fragment comes from a
// transposed matrix load, or element by element.
template <typename T, bool TRANSPOSED> __global__ void product(const T* a, const T* b, float* d) {
    __shared__ __align__(16) T as[16][16];
    __shared__ __align__(16) T bs[16][8];
    cp_async_16(&as[LANE / 2][LANE % 2 * 8], a + LANE * 8);
    cp_async_commit();
    if (LANE < 16) cp_async_16(&bs[LANE][0], b + LANE * 8, LANE != 15);
    cp_async_commit();
    cp_async_wait<1>();
    __syncwarp();
    uint32_t fa[4], fb[4], pair[2];
    ldmatrix_x4(fa, &as[LANE % 16][LANE / 16 * 8]);
    cp_async_wait<0>();
    __syncwarp();
    const int group = LANE / 4, member = LANE % 4;
    if (TRANSPOSED) {
        ldmatrix_x4_trans(fb, &bs[LANE % 16][0]);
        pair[0] = fb[0], pair[1] = fb[1];
    } else {
        pair[0] = pack2<T>(to_float(bs[2 * member][group]), to_float(bs[2 * member + 1][group]));
        pair[1] = pack2<T>(to_float(bs[2 * member + 8][group]), to_float(bs[2 * member + 9][group]));
    }
    float c[4] = {1, 1, 1, 1};
    mma_m16n8k16<T>(c, fa, pair);
    for (int r = 0; r < 4; ++r) d[(group + r / 2 * 8) * 8 + 2 * member + r % 2] = c[r];
}

// y = x rounded to T, back = y as float.
template <typename T> __global__ void convert(const float* x, T* y, float* back, int n) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= n) return;
    y[i] = from_float<T>(x[i]);
    back[i] = to_float(y[i]);
}

// y[i] = x[i] turned by one place, plus n[i].x - n[i].y, through shared memory.
__global__ void rotate(const float4* x, const int2* n, float4* y) {
    __shared__ float4 tile[8];
    __shared__ uint2 other[8];
    const int i = threadIdx.x;
    tile[i] = x[i];
    other[i].x = n[i].x;
    other[i].y = n[i].y;
    __syncthreads();
    const float4 v = tile[i];
    const uint2 u = make_uint2(other[i].x, other[i].y);
    float4 turned = {v.y, v.z, v.w, v.x};
    const float by = static_cast<int>(u.x - u.y);
    turned.x += by, turned.y += by, turned.z += by, turned.w += by;
    y[i] = turned;
}

// y[i] = the four numbers of x from start + 4·which[i] on, zeros where which[i] is not below n.
__global__ void pick(const float* x, const int* which, float* y, int start, int n) {
    const int i = threadIdx.x, at = which[i];
    uint32_t r[4];
    load_16_or_zeros(r, x + start + 4 * at, at < n);
    for (int k = 0; k < 4; ++k) y[4 * i + k] = __uint_as_float(r[k]);
}
