// The portable bodies of ptx.cuh: one lane computes for its warp, from everybody's operands.
#pragma once

struct emulator_matrices {
    const void* row;
    uint32_t* r;
    bool transposed;
    const char* file;
    int line;
};

inline void emulator_ldmatrix(void* const* lanes) {
    uint16_t matrix[4][8][8];
    for (int lane = 0; lane < 32; ++lane) {
        const auto* one = static_cast<const emulator_matrices*>(lanes[lane]);
        emulator_reads(one->row, 16, lane, one->file, one->line);
        memcpy(matrix[lane / 8][lane % 8], one->row, 16);
    }
    for (int lane = 0; lane < 32; ++lane) {
        const auto* one = static_cast<const emulator_matrices*>(lanes[lane]);
        const int group = lane / 4, member = lane % 4;
        for (int i = 0; i < 4; ++i) {
            const auto& m = matrix[i];
            const uint32_t low = one->transposed ? m[2 * member][group] : m[group][2 * member];
            const uint32_t high = one->transposed ? m[2 * member + 1][group] : m[group][2 * member + 1];
            one->r[i] = low | high << 16;
        }
    }
}

inline void ldmatrix_x4(uint32_t (&r)[4], const void* row, HERE) {
    emulator_matrices mine{row, r, false, file, line};
    emulator_warp(&mine, emulator_ldmatrix, file, line);
}
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, HERE) {
    emulator_matrices mine{row, r, true, file, line};
    emulator_warp(&mine, emulator_ldmatrix, file, line);
}

struct emulator_fragments {
    float* d;
    const uint32_t *a, *b;
};

template <typename T> inline float emulator_part(uint32_t pair, int half) {
    return to_float(emulator_bits<T>(static_cast<uint16_t>(half ? pair >> 16 : pair)));
}

template <typename T> inline void emulator_mma(void* const* lanes) {
    float a[16][16], b[16][8];
    for (int lane = 0; lane < 32; ++lane) {
        const auto* one = static_cast<const emulator_fragments*>(lanes[lane]);
        const int group = lane / 4, member = lane % 4;
        for (int r = 0; r < 4; ++r)
            for (int half = 0; half < 2; ++half)
                a[group + 8 * (r & 1)][2 * member + half + 8 * (r >> 1)] = emulator_part<T>(one->a[r], half);
        for (int r = 0; r < 2; ++r)
            for (int half = 0; half < 2; ++half) b[2 * member + half + 8 * r][group] = emulator_part<T>(one->b[r], half);
    }
    for (int lane = 0; lane < 32; ++lane) {
        const auto* one = static_cast<const emulator_fragments*>(lanes[lane]);
        for (int r = 0; r < 4; ++r) {
            const int row = lane / 4 + 8 * (r >> 1), column = 2 * (lane % 4) + (r & 1);
            float sum = one->d[r];
            for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
            one->d[r] = sum;
        }
    }
}

template <typename T> inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], HERE) {
    emulator_fragments mine{d, a, b};
    emulator_warp(&mine, emulator_mma<T>, file, line);
}

inline void cp_async_16(void* shared, const void* global, bool valid = true, HERE) {
    emulator_copy_async(shared, global, valid, file, line);
}
inline void cp_async_16_cached(void* shared, const void* global, bool valid = true, HERE) {
    emulator_copy_async(shared, global, valid, file, line);
}
inline void cp_async_commit() { emulator_copy_commit(); }
template <int N> inline void cp_async_wait() { emulator_copy_wait(N); }

inline void load_16_or_zeros(uint32_t (&r)[4], const void* from, bool valid, HERE) {
    memset(r, 0, 16);
    if (!valid) return;
    emulator_aligned(from, 16, file, line);
    emulator_reads(from, 16, -1, file, line);
    memcpy(r, from, 16);
}

inline unsigned anew(unsigned x) { return x; }

inline void atomic_add_2(float* to, float x, float y, HERE) {
    emulator_aligned(to, 8, file, line);
    atomicAdd(to, x, file, line);
    atomicAdd(to + 1, y, file, line);
}
