// Part of counters.cpp: what one request of a warp asks of memory.
//
//     global   the 32-byte sectors and 128-byte lines that it touches, and the fewest sectors that its bytes could fill
//     shared   32 banks, 4 bytes each: 32 threads of up to 4 bytes make a phase, 16 of 8 bytes, 8 of 16 bytes; a phase takes
//              as many cycles as the busiest bank has words to give (updates: as there are threads at that bank)
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace {

constexpr uint64_t SECTOR = 32, LINE = 128, BANKS = 32, WORD = 4;
constexpr double SECTORS = 2;  // that a cycle moves
enum How : int { READ, WRITE, UPDATE };

struct Sums {
    uint64_t requests, threads, requested;
    uint64_t sectors, ideal, lines;  // global
    uint64_t phases, cycles;         // shared

    void add(const Sums& s, uint64_t weight) {
        requests += weight * s.requests, threads += weight * s.threads, requested += weight * s.requested;
        sectors += weight * s.sectors, ideal += weight * s.ideal, lines += weight * s.lines;
        phases += weight * s.phases, cycles += weight * s.cycles;
    }
};

struct Request {
    uint64_t address[32];
    uint8_t bytes[32];  // 0: this lane takes no part
};

// How many different ones there are, which come first afterwards, in order.
size_t distinct(uint64_t* first, size_t n) {
    if (!std::is_sorted(first, first + n)) std::sort(first, first + n);
    return std::unique(first, first + n) - first;
}

size_t distinct_bytes(const Request& r) {
    std::pair<uint64_t, uint64_t> spans[32];
    size_t n = 0;
    for (int lane = 0; lane < 32; ++lane)
        if (r.bytes[lane]) spans[n++] = {r.address[lane], r.address[lane] + r.bytes[lane]};
    if (!std::is_sorted(spans, spans + n)) std::sort(spans, spans + n);
    uint64_t found = 0, end = 0;
    for (size_t i = 0; i < n; ++i) {
        const auto [low, high] = spans[i];
        if (high > end) found += high - std::max(low, end), end = high;
    }
    return found;
}

// What a request adds to the sums, and the cycles that it takes about.
double close_global(Sums& s, const Request& r) {
    uint64_t units[32];  // an access lies in one sector
    size_t n = 0;
    for (int lane = 0; lane < 32; ++lane)
        if (r.bytes[lane]) units[n++] = r.address[lane] / SECTOR;
    const size_t sectors = n = distinct(units, n);
    for (size_t i = 0; i < n; ++i) units[i] /= LINE / SECTOR;
    s.sectors += sectors;
    s.lines += distinct(units, n);
    s.ideal += (distinct_bytes(r) + SECTOR - 1) / SECTOR;
    return static_cast<double>(sectors) / SECTORS;
}

double close_shared(Sums& s, const Request& r, bool is_update, uint64_t& worst) {
    double taken = 0;
    const size_t widest = *std::max_element(r.bytes, r.bytes + 32);
    const int lanes = widest <= WORD ? 32 : static_cast<int>(BANKS * WORD / widest);
    for (int first = 0; first < 32; first += lanes) {
        uint64_t words[BANKS];  // as many as there are banks at most
        size_t n = 0;
        for (int lane = first; lane < first + lanes; ++lane)
            if (r.bytes[lane] && is_update)
                words[n++] = r.address[lane] / WORD;
            else if (r.bytes[lane])
                for (uint64_t w = r.address[lane] / WORD; w <= (r.address[lane] + r.bytes[lane] - 1) / WORD; ++w) words[n++] = w;
        if (!is_update) n = distinct(words, n);
        uint64_t busy[BANKS] = {};
        for (size_t i = 0; i < n; ++i) ++busy[words[i] % BANKS];
        const uint64_t cycles = *std::max_element(busy, busy + BANKS);
        s.phases += cycles != 0;
        s.cycles += cycles;
        taken += static_cast<double>(cycles);
        worst = std::max(worst, cycles);
    }
    return taken;
}

}  // namespace
