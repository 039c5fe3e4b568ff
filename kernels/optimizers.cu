// One step of every elementwise update rule, in one pass over the flat arena: parameters, gradients, state.
//
// A rule is a struct. Its members are the numbers of the step, in the order in which the optimizer's `coefficients`
// names them (optimizers/*.py, where the equations stand with their sources); its call operator changes one parameter
// and up to three elements of state. An option that is off has a number that says so, and no state: null.
//
//     T         of parameters and gradients; the state, and all arithmetic, is in float
//     master    float parameters behind those of half precision, which are their rounded copies. One that does not round
//               to its parameter is out of date (a fresh zero, or weights loaded since): then the parameter counts.
//     multiplier, skip    in device memory, or null: gradients are multiplied by the first (1/loss scale, a clipping
//               coefficient); if the second is true, nothing is changed
//
// Launch: ceil_div(n, 4) threads, THREADS to a block; each takes 4 elements: 16 bytes of a state, which neighbouring threads
// move without a gap. All arrays begin on 16 bytes, as those of an arena do (on 64), and the last few elements go singly.
//
// Bytes per parameter: 12 for float, 14 for half precision with master weights; 8 more for each state vector. Adam: 28
// and 30. 124 million parameters, H200 at 4.3 TB/s: Adam 0.81 ms in float, 0.87 ms in bfloat16; SGD with momentum 0.58.
#include "neighbours.cuh"

struct Descent {  // what every rule begins with: `descent_coefficients` of optimizers/rule.py
    float sign, decay, keep;

    __device__ float direction(float& p, float g) const {
        p *= keep;
        return sign * g + decay * p;
    }
};

struct SGD : Descent {
    float eta, mu, fresh, nesterov;
    __device__ void operator()(float& p, float g, float& b, float&, float&) const {
        g = direction(p, g);
        if (mu != 0) {
            b = mu * b + fresh * g;           // (1)
            g = nesterov ? g + mu * b : b;    // (2)
        }
        p -= eta * g;                         // (3)
    }
};

struct Adagrad : Descent {
    float eta, eps;
    __device__ void operator()(float& p, float g, float& s, float&, float&) const {
        g = direction(p, g);
        s += g * g;                           // (1)
        p -= eta * g / (sqrtf(s) + eps);      // (2)
    }
};

struct RMSprop : Descent {
    float fresh, eta, eps, mu, centered;
    __device__ void operator()(float& p, float g, float& v, float& g_avg, float& b) const {
        g = direction(p, g);
        v += fresh * (g * g - v);             // (1)
        float s = v;
        if (centered) {
            g_avg += fresh * (g - g_avg);
            s = fmaxf(v - g_avg * g_avg, 0);  // (2)
        }
        float d = g / (sqrtf(s) + eps);       // (3)
        if (mu != 0) d = b = mu * b + d;      // (4)
        p -= eta * d;                         // (5)
    }
};

struct Adadelta : Descent {
    float fresh, eta, eps;
    __device__ void operator()(float& p, float g, float& v, float& u, float&) const {
        g = direction(p, g);
        v += fresh * (g * g - v);                                        // (1)
        const float delta = g * (sqrtf(u + eps) / sqrtf(v + eps));       // (2)
        u += fresh * (delta * delta - u);                                // (3)
        p -= eta * delta;                                                // (4)
    }
};

struct Adam : Descent {  // and AdamW
    float alpha1, alpha2, eta, eps, amsgrad;
    __device__ void operator()(float& p, float g, float& m, float& v, float& v_max) const {
        g = direction(p, g);
        m += alpha1 * (g - m);                                           // (1)
        v += alpha2 * (g * g - v);                                       // (2)
        if (amsgrad) v_max = fmaxf(v_max, v);                            // (3)
        p -= eta * m / (sqrtf(amsgrad ? v_max : v) + eps);               // (4)
    }
};

struct NAdam : Descent {
    float alpha1, alpha2, eta_g, eta_m, eps;
    __device__ void operator()(float& p, float g, float& m, float& v, float&) const {
        g = direction(p, g);
        m += alpha1 * (g - m);                                           // (1)
        v += alpha2 * (g * g - v);                                       // (2)
        p -= (eta_g * g + eta_m * m) / (sqrtf(v) + eps);                 // (3)
    }
};

struct RAdam : Descent {
    float alpha1, alpha2, eta, a, b;
    __device__ void operator()(float& p, float g, float& m, float& v, float&) const {
        g = direction(p, g);
        m += alpha1 * (g - m);                                           // (1)
        v += alpha2 * (g * g - v);                                       // (2)
        p -= eta * m / (a * sqrtf(v) + b);                               // (3)
    }
};

struct Adamax : Descent {
    float alpha1, beta2, eta, eps;
    __device__ void operator()(float& p, float g, float& m, float& u, float&) const {
        g = direction(p, g);
        m += alpha1 * (g - m);                                           // (1)
        u = fmaxf(beta2 * u, fabsf(g) + eps);                            // (2)
        p -= eta * m / u;                                                // (3)
    }
};

struct AdaBound : Descent {
    float alpha1, alpha2, eta, eps, lower, upper, amsbound;
    __device__ void operator()(float& p, float g, float& m, float& v, float& v_max) const {
        g = direction(p, g);
        m += alpha1 * (g - m);                                           // (1)
        v += alpha2 * (g * g - v);                                       // (2)
        if (amsbound) v_max = fmaxf(v_max, v);                           // (3)
        const float rate = eta / (sqrtf(amsbound ? v_max : v) + eps);
        p -= fminf(fmaxf(rate, lower), upper) * m;                       // (4) (5)
    }
};

struct ASGD : Descent {
    float shrink, eta, mu;
    __device__ void operator()(float& p, float g, float& ax, float&, float&) const {
        g = direction(p, g);
        p = shrink * p - eta * g;                                        // (1)
        ax = mu == 1 ? p : ax + mu * (p - ax);                           // (2)
    }
};

struct Rprop : Descent {
    float first, shorter, longer, least, greatest;
    __device__ void operator()(float& p, float g, float& previous, float& size, float&) const {
        g = sign * g;
        const float s = g * previous;                                    // (1)
        size = (size + first) * (s > 0 ? longer : s < 0 ? shorter : 1);
        size = fminf(fmaxf(size, least), greatest);                      // (2)
        previous = s < 0 ? 0 : g;                                        // (3)
        p -= previous > 0 ? size : previous < 0 ? -size : previous;      // (4): 0 for 0, NaN for NaN
    }
};

struct Lion : Descent {
    float alpha1, alpha2, eta;
    __device__ void operator()(float& p, float g, float& m, float&, float&) const {
        g = direction(p, g);                                             // (1)
        const float d = m + alpha1 * (g - m);                            // (2)
        p -= d > 0 ? eta : d < 0 ? -eta : d;                             // (3): 0 for 0, NaN for NaN
        m += alpha2 * (g - m);                                           // (4)
    }
};

template <int N, typename T, typename Rule>
__device__ __forceinline__ void update(const Rule& rule, float scale, T* p, float* master, const T* g, float* state0,
                                       float* state1, float* state2, long long first) {
    const bool has_master = sizeof(T) < 4 && master;
    float w[N], d[N], exact[N], s0[N] = {}, s1[N] = {}, s2[N] = {};
    read_neighbours(w, p + first);
    read_neighbours(d, g + first);
    if (state0) read_neighbours(s0, state0 + first);
    if (state1) read_neighbours(s1, state1 + first);
    if (state2) read_neighbours(s2, state2 + first);
    if (has_master) read_neighbours(exact, master + first);
#pragma unroll
    for (int i = 0; i < N; ++i) {
        if (has_master && to_float(from_float<T>(exact[i])) == w[i]) w[i] = exact[i];
        rule(w[i], scale * d[i], s0[i], s1[i], s2[i]);
    }
    write_neighbours(p + first, w);
    if (has_master) write_neighbours(master + first, w);
    if (state0) write_neighbours(state0 + first, s0);
    if (state1) write_neighbours(state1 + first, s1);
    if (state2) write_neighbours(state2 + first, s2);
}

template <typename T, typename Rule, int THREADS>
__global__ void __launch_bounds__(THREADS) step(T* p, float* master, const T* g, float* state0, float* state1, float* state2,
                                            long long n, const float* coefficients, const float* multiplier,
                                            const bool* skip) {
    constexpr int N = VECTOR<float>;  // whole accesses of the states and the masters, which are most of the bytes
    const long long first = (static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x) * N;
    if (first >= n || (skip && *skip)) return;
    const Rule rule = *reinterpret_cast<const Rule*>(coefficients);
    const float scale = multiplier ? *multiplier : 1.0f;
    if (first + N <= n) update<N>(rule, scale, p, master, g, state0, state1, state2, first);
    else
#pragma unroll 1
        for (long long i = first; i < n; ++i) update<1>(rule, scale, p, master, g, state0, state1, state2, i);
}
