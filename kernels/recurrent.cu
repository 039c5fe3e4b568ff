// One step of a recurrent layer behind its product of matrices: all gates of a unit by one thread, and back.
//
//     simple  y = f(z)                                                   f tanh or ReLU
//     LSTM    c' = σ(f) c + σ(i) tanh(g),  y = σ(o) tanh(c')             z = (i, f, g, o)
//     GRU     y = (1 − σ(z)) n + σ(z) h,   n = tanh(n_x + σ(r) n_h)      r = r_x + r_h, z = z_x + z_h
//     the GRU's original form, with n_h a product with σ(r) h, has two kernels: what is before it, and what is behind
//
// for n sequences of `width` units. Products come in float, (n, gates · width), with the gates of a row one after the other; the
// biases (gates · width), or null, are added here. What the gates become replaces them, for backward. T, float, half or
// bfloat16, is what products read: outputs y, gradients of the gates. What goes from step to step is float: cell states,
// the GRU's h beside its y, and gradients of states, so that half precision does not round them at every step.
//
// Geometry: 256 threads, one unit of one sequence each; neighbours are neighbours in memory. Limit: n · width < 2³¹.
//
// Memory, for a unit, with s = sizeof(T): LSTM forward 44 + s bytes, backward 28 + 5 s; GRU 44 + s and 28 + 7 s; its original
// form 20 + s and 20 + s, backward 20 + 3 s and 20 + s. 64 sequences
// of 1024 units in bfloat16: 3.0 MB forward, 0.7 µs at 4.3 TB/s, less than a launch takes.
#include "windows.cuh"

constexpr int THREADS = 256;

// Exponentials only see arguments ≤ 0: nothing overflows.
__device__ __forceinline__ float logistic(float z) {
    const float e = __expf(-fabsf(z));
    return (z < 0 ? e : 1) / (1 + e);
}

// The biases of one gate of one unit.
template <typename T> __device__ __forceinline__ float bias(const T* a, const T* b, int at) {
    return a ? to_float(a[at]) + to_float(b[at]) : 0;
}

// Where a thread works: unit `at` of all, `unit` of its sequence, whose gates begin at `gates`.
struct Place {
    int at, unit;
    long long gates;
    __device__ __forceinline__ Place(int width, unsigned long long by_width, int count) {
        at = blockIdx.x * THREADS + threadIdx.x;
        const int sequence = quotient(at, by_width);
        unit = at - sequence * width;
        gates = static_cast<long long>(sequence) * (count * width) + unit;
    }
};

// --- simple ----------------------------------------------------------------------------------------------------------
template <typename T, bool RELU>
__global__ void __launch_bounds__(THREADS)
    rnn_forward(const float* z, const T* bias_ih, const T* bias_hh, T* y, int count, int width, unsigned long long by_width) {
    const Place place(width, by_width, 1);
    if (place.at >= count) return;
    const float a = z[place.at] + bias(bias_ih, bias_hh, place.unit);
    y[place.at] = from_float<T>(RELU ? (a <= 0 ? 0 : a) : tanhf(a));
}

// d_y: of this step's output; d_h: of the state after it, float. d_z: of what f is applied to.
template <typename T, bool RELU>
__global__ void __launch_bounds__(THREADS) rnn_backward(const T* y, const T* d_y, const float* d_h, T* d_z, int count) {
    const int at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= count) return;
    const float h = to_float(y[at]), slope = RELU ? !(h <= 0) : 1 - h * h;
    d_z[at] = from_float<T>((d_h[at] + to_float(d_y[at])) * slope);
}

// --- LSTM ------------------------------------------------------------------------------------------------------------
// gates: z, replaced by σ(i), σ(f), tanh(g), σ(o). cell: c; cell_after: c'; squashed: tanh(c').
template <typename T>
__global__ void __launch_bounds__(THREADS)
    lstm_forward(float* gates, const T* bias_ih, const T* bias_hh, const float* cell, float* cell_after, float* squashed, T* y,
                 int count, int width, unsigned long long by_width) {
    const Place place(width, by_width, 4);
    if (place.at >= count) return;
    float* z = gates + place.gates;
    float a[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        a[k] = z[static_cast<long long>(k) * width] + bias(bias_ih, bias_hh, k * width + place.unit);
        a[k] = k == 2 ? tanhf(a[k]) : logistic(a[k]);
        z[static_cast<long long>(k) * width] = a[k];
    }
    const float c = a[1] * cell[place.at] + a[0] * a[2], t = tanhf(c);
    cell_after[place.at] = c;
    squashed[place.at] = t;
    y[place.at] = from_float<T>(a[3] * t);
}

// d_y may be null. d_cell: of c'; d_cell_before: of c. d_z (n, 4 width).
template <typename T>
__global__ void __launch_bounds__(THREADS)
    lstm_backward(const float* gates, const float* squashed, const float* cell, const T* d_y, const float* d_h,
                  const float* d_cell, float* d_cell_before, T* d_z, int count, int width, unsigned long long by_width) {
    const Place place(width, by_width, 4);
    if (place.at >= count) return;
    float a[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) a[k] = gates[place.gates + static_cast<long long>(k) * width];
    const float t = squashed[place.at], d = d_h[place.at] + (d_y ? to_float(d_y[place.at]) : 0);
    const float d_c = d_cell[place.at] + d * a[3] * (1 - t * t);
    const float of[4] = {d_c * a[2] * a[0] * (1 - a[0]), d_c * cell[place.at] * a[1] * (1 - a[1]),
                         d_c * a[0] * (1 - a[2] * a[2]), d * t * a[3] * (1 - a[3])};
#pragma unroll
    for (int k = 0; k < 4; ++k) d_z[place.gates + static_cast<long long>(k) * width] = from_float<T>(of[k]);
    d_cell_before[place.at] = d_c * a[1];
}

// --- GRU -------------------------------------------------------------------------------------------------------------
// gates: r_x, z_x, n_x, replaced by σ(r), σ(z), n. products: r_h, z_h, n_h, of which n_h with its bias goes to `candidate`.
// state: h; state_after: y in float, or null where T is.
template <typename T>
__global__ void __launch_bounds__(THREADS)
    gru_forward(float* gates, const float* products, const T* bias_ih, const T* bias_hh, const float* state,
                float* state_after, float* candidate, T* y, int count, int width, unsigned long long by_width) {
    const Place place(width, by_width, 3);
    if (place.at >= count) return;
    float x[3], h[3];
#pragma unroll
    for (int k = 0; k < 3; ++k) {
        const long long at = place.gates + static_cast<long long>(k) * width;
        x[k] = gates[at] + (bias_ih ? to_float(bias_ih[k * width + place.unit]) : 0);
        h[k] = products[at] + (bias_hh ? to_float(bias_hh[k * width + place.unit]) : 0);
    }
    const float r = logistic(x[0] + h[0]), z = logistic(x[1] + h[1]), n = tanhf(x[2] + r * h[2]);
    const float after = n + z * (state[place.at] - n);
    float* out = gates + place.gates;
    out[0] = r;
    out[width] = z;
    out[2 * static_cast<long long>(width)] = n;
    candidate[place.at] = h[2];
    if (state_after) state_after[place.at] = after;
    y[place.at] = from_float<T>(after);
}

// d_x and d_products (n, 3 width): of the products with x and with h. d_h_before: what of d_h goes past them, σ(z) times.
template <typename T>
__global__ void __launch_bounds__(THREADS)
    gru_backward(const float* gates, const float* candidate, const float* state, const T* d_y, const float* d_h,
                 float* d_h_before, T* d_x, T* d_products, int count, int width, unsigned long long by_width) {
    const Place place(width, by_width, 3);
    if (place.at >= count) return;
    const long long second = place.gates + width, third = second + width;
    const float r = gates[place.gates], z = gates[second], n = gates[third];
    const float d = d_h[place.at] + to_float(d_y[place.at]);
    const float d_n = d * (1 - z) * (1 - n * n), d_z = d * (state[place.at] - n) * z * (1 - z);
    const float d_r = d_n * candidate[place.at] * r * (1 - r);
    d_x[place.gates] = d_products[place.gates] = from_float<T>(d_r);
    d_x[second] = d_products[second] = from_float<T>(d_z);
    d_x[third] = from_float<T>(d_n);
    d_products[third] = from_float<T>(d_n * r);
    d_h_before[place.at] = d * z;
}

// --- GRU, original form ----------------------------------------------------------------------------------------------
// gates: r, z, without biases, replaced by σ(r), σ(z). reset: σ(r) h, whose product with weights is added to n_x.
template <typename T>
__global__ void __launch_bounds__(THREADS)
    gru_original_gates(float* gates, const T* bias_ih, const T* bias_hh, const float* state, T* reset, int count, int width, unsigned long long by_width) {
    const Place place(width, by_width, 3);
    if (place.at >= count) return;
    float* z = gates + place.gates;
    const float r = logistic(z[0] + bias(bias_ih, bias_hh, place.unit));
    z[0] = r;
    z[width] = logistic(z[width] + bias(bias_ih, bias_hh, width + place.unit));
    reset[place.at] = from_float<T>(r * state[place.at]);
}

// The third gate, n_x + n_h without biases, replaced by n. state_after: y in float, or null where T is.
template <typename T>
__global__ void __launch_bounds__(THREADS)
    gru_original_candidate(float* gates, const T* bias_ih, const T* bias_hh, const float* state, float* state_after, T* y,
                           int count, int width, unsigned long long by_width) {
    const Place place(width, by_width, 3);
    if (place.at >= count) return;
    const long long second = place.gates + width, third = second + width;
    const float n = tanhf(gates[third] + bias(bias_ih, bias_hh, 2 * width + place.unit));
    const float after = n + gates[second] * (state[place.at] - n);
    gates[third] = n;
    if (state_after) state_after[place.at] = after;
    y[place.at] = from_float<T>(after);
}

// d_z (n, 3 width): its second and third gates. d_h_before: what of d_h goes past the product, σ(z) times.
template <typename T>
__global__ void __launch_bounds__(THREADS)
    gru_original_candidate_backward(const float* gates, const float* state, const T* d_y, const float* d_h,
                                    float* d_h_before, T* d_z, int count, int width, unsigned long long by_width) {
    const Place place(width, by_width, 3);
    if (place.at >= count) return;
    const long long second = place.gates + width, third = second + width;
    const float z = gates[second], n = gates[third], d = d_h[place.at] + to_float(d_y[place.at]);
    d_z[second] = from_float<T>(d * (state[place.at] - n) * z * (1 - z));
    d_z[third] = from_float<T>(d * (1 - z) * (1 - n * n));
    d_h_before[place.at] = d * z;
}

// d_reset (n, width): of σ(r) h. d_z: its first gate. d_h_before: what goes to h through σ(r) h is added.
template <typename T>
__global__ void __launch_bounds__(THREADS)
    gru_original_gates_backward(const float* gates, const float* state, const float* d_reset, float* d_h_before, T* d_z,
                                int count, int width, unsigned long long by_width) {
    const Place place(width, by_width, 3);
    if (place.at >= count) return;
    const float r = gates[place.gates], d = d_reset[place.at];
    d_z[place.gates] = from_float<T>(d * state[place.at] * r * (1 - r));
    d_h_before[place.at] += d * r;
}
