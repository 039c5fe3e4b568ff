// Counters of a profile: what the accesses of a launch ask of a GPU's memory, by place in the code.
//
// The threads of a warp run one after the other here, and together on a GPU: accesses at one place are joined to requests by
// turn, each thread's k-th since the last barrier of its block or warp with the k-th of the others. Of a request,
//
//     global   the 32-byte sectors and 128-byte lines that it touches, and the fewest sectors that its bytes could fill
//     shared   32 banks, 4 bytes each: 32 threads of up to 4 bytes make a phase, 16 of 8 bytes, 8 of 16 bytes; a phase takes
//              as many cycles as the busiest bank has words to give (updates: as there are threads at that bank)
//
// Where a block stands for others, all that it asks for is counted so many times; so are bytes that no block before it touched, though
// a buffer has no more than there are. What a block keeps busy is summed up by itself: for how much blocks differ.
//
// A launch is counted by one worker, so nothing here is locked.
#include "counters.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

namespace {

constexpr uint64_t SECTOR = 32, LINE = 128, BANKS = 32, WORD = 4;
enum Space : int32_t { GLOBAL, SHARED, CODE, TENSOR };
enum How : int { READ, WRITE, UPDATE };

struct Site {
    uint64_t pc;
    const char* file;
    int32_t line, space, how, bytes;  // bytes: of the widest access
    uint64_t requests, threads, requested;
    uint64_t sectors, ideal, lines;   // global
    uint64_t phases, cycles, worst;   // shared; worst: cycles of a phase
};

struct Totals {
    uint64_t read, written;                  // bytes of the buffers, each counted once
    uint64_t sectors_read, sectors_written;  // and their sectors
};

struct Key {
    uint64_t pc;
    const char* file;
    int line, kind;
    bool operator==(const Key& k) const { return pc == k.pc && file == k.file && line == k.line && kind == k.kind; }
};
struct Hash {
    size_t operator()(const Key& k) const {
        return (k.pc ^ reinterpret_cast<uint64_t>(k.file) * 31 ^ uint64_t(k.line) << 32 ^ uint64_t(k.kind)) * 0x9e3779b97f4a7c15u;
    }
};

struct Request {
    uint64_t address[32];
    uint8_t bytes[32];  // 0: this lane takes no part
};
struct Pending {  // of a warp at one site, since the last barrier
    uint32_t turns[32];
    std::vector<Request> requests;
};
struct Window {  // a vector access, of which the compiler may have made several
    uint64_t address, bytes;
    int how;  // -1 before the first of them
    bool holds(uint64_t p, int access) const { return p - address < bytes && (how < 0 || how == access); }
};

std::unordered_map<Key, size_t, Hash> index;
std::vector<Site> sites;
std::vector<std::unordered_map<size_t, Pending>> warps;
std::vector<Window> windows;
std::vector<std::vector<uint8_t>> touched;  // for each byte of each buffer, 1 read, 2 written
std::vector<std::vector<uint8_t>> touched_sectors;
std::vector<Totals> totals;  // of each buffer
uint64_t weight = 1;         // of the block at hand
std::vector<double> costs;   // of each block, about the cycles of a multiprocessor
constexpr double CODE_CYCLES = 1, SECTORS = 2, OPERATIONS = 4096;  // of a basic block, of some four instructions; what a cycle moves or does

extern "C" char __ehdr_start[] __attribute__((weak, visibility("hidden")));

Pending& pending(int thread, Space space, int how, Where at, size_t& site) {
    const Key key{reinterpret_cast<uint64_t>(at.pc), at.file, at.line, space * 4 + how};
    const auto found = index.emplace(key, sites.size());
    const uint64_t pc = at.pc ? key.pc - reinterpret_cast<uint64_t>(__ehdr_start) : 0;  // in the library
    if (found.second) sites.push_back({pc, at.file, at.line, space, how});
    site = found.first->second;
    const size_t warp = thread / 32;
    if (warps.size() <= warp) warps.resize(warp + 1);
    return warps[warp][site];
}

template <typename Of> size_t distinct(const Request& r, uint64_t unit, Of of) {
    std::vector<uint64_t> units;
    for (int lane = 0; lane < 32; ++lane)
        if (r.bytes[lane])
            for (uint64_t u = r.address[lane] / unit; u <= (r.address[lane] + r.bytes[lane] - 1) / unit; ++u) units.push_back(u);
    std::sort(units.begin(), units.end());
    units.erase(std::unique(units.begin(), units.end()), units.end());
    of(units);
    return units.size();
}
size_t distinct(const Request& r, uint64_t unit) {
    return distinct(r, unit, [](const std::vector<uint64_t>&) {});
}

void close_global(Site& s, const Request& r) {
    const size_t sectors = distinct(r, SECTOR);
    s.sectors += weight * sectors;
    s.lines += weight * distinct(r, LINE);
    s.ideal += weight * ((distinct(r, 1) + SECTOR - 1) / SECTOR);
    costs.back() += static_cast<double>(sectors) / SECTORS;
}

void close_shared(Site& s, const Request& r) {
    const size_t widest = *std::max_element(r.bytes, r.bytes + 32);
    const int lanes = widest <= WORD ? 32 : static_cast<int>(BANKS * WORD / widest);
    for (int first = 0; first < 32; first += lanes) {
        Request phase{};
        std::copy(r.address + first, r.address + first + lanes, phase.address);
        std::copy(r.bytes + first, r.bytes + first + lanes, phase.bytes);
        uint64_t busy[BANKS] = {};
        if (s.how == UPDATE)
            for (int lane = 0; lane < lanes; ++lane) busy[phase.address[lane] / WORD % BANKS] += phase.bytes[lane] != 0;
        else
            distinct(phase, WORD, [&](const std::vector<uint64_t>& words) {
                for (const uint64_t word : words) ++busy[word % BANKS];
            });
        const uint64_t cycles = *std::max_element(busy, busy + BANKS);
        s.phases += weight * (cycles != 0);
        s.cycles += weight * cycles;
        costs.back() += static_cast<double>(cycles);
        s.worst = std::max(s.worst, cycles);
    }
}

void close(Site& s, Pending& p) {
    if (s.space == CODE) {
        const uint32_t turns = *std::max_element(p.turns, p.turns + 32);
        s.requests += weight * turns;
        costs.back() += CODE_CYCLES * turns;
    }
    s.requests += weight * p.requests.size();
    for (const Request& r : p.requests) s.space == GLOBAL ? close_global(s, r) : close_shared(s, r);
}

void touch(int buffer, uint64_t offset, size_t bytes, int how) {
    const auto mark = [how](uint8_t& marks, uint64_t& read, uint64_t& written) {
        const int added = (how == READ ? 1 : how == WRITE ? 2 : 3) & ~marks;
        marks |= added;
        read += weight * (added & 1);
        written += weight * (added >> 1);
    };
    Totals& t = totals[buffer];
    for (uint64_t i = offset; i < offset + bytes; ++i) mark(touched[buffer][i], t.read, t.written);
    for (uint64_t i = offset / SECTOR; i * SECTOR < offset + bytes; ++i) mark(touched_sectors[buffer][i], t.sectors_read, t.sectors_written);
}

}  // namespace

void count_begin(uint64_t of) {
    weight = of;
    costs.push_back(0);
}

void count_access(int thread, uint64_t address, size_t bytes, int how, int buffer, uint64_t offset, bool aligned, Where at) {
    if (!at.pc && !at.file) return;  // an asynchronous copy that lands: counted when it was asked for
    if (buffer >= 0 && bytes) touch(buffer, offset, bytes, how);
    if (windows.size() <= static_cast<size_t>(thread)) windows.resize(thread + 1);
    Window& w = windows[thread];
    if (w.holds(address, how)) {
        if (w.how == how) return;
        w.how = how;
        offset -= address - w.address;
        address = w.address, bytes = w.bytes, aligned = true;
    }
    const uint64_t base = buffer < 0 ? offset : address;
    for (uint64_t done = 0; done < bytes;) {
        uint64_t piece = aligned ? 16 : WORD;
        while (piece > bytes - done || (base + done) % piece) piece /= 2;
        size_t site;
        Pending& p = pending(thread, buffer < 0 ? SHARED : GLOBAL, how, at, site);
        const uint32_t turn = p.turns[thread % 32]++;
        if (p.requests.size() <= turn) p.requests.resize(turn + 1);
        p.requests[turn].address[thread % 32] = base + done;
        p.requests[turn].bytes[thread % 32] = static_cast<uint8_t>(piece);
        Site& s = sites[site];
        s.bytes = std::max<int32_t>(s.bytes, static_cast<int32_t>(piece));
        s.threads += weight;
        s.requested += weight * piece;
        done += piece;
    }
}

void count_vector(int thread, uint64_t address, size_t bytes) {
    if (windows.size() <= static_cast<size_t>(thread)) windows.resize(thread + 1);
    windows[thread] = {address, bytes, -1};
}

void count_block(int thread, const void* pc) {
    size_t site;
    ++pending(thread, CODE, READ, {pc, nullptr, 0}, site).turns[thread % 32];
    sites[site].threads += weight;
}

void count_tensor(int thread, int operations, Where at) {
    size_t site;
    pending(thread, TENSOR, UPDATE, at, site);
    sites[site].requests += weight;
    sites[site].requested += weight * operations;
    costs.back() += operations / OPERATIONS;
}

void count_sync(int first, int last) {
    for (size_t warp = first / 32; warp < std::min<size_t>((last + 31) / 32, warps.size()); ++warp) {
        for (auto& [site, p] : warps[warp]) close(sites[site], p);
        warps[warp].clear();
    }
    for (size_t t = first; t < std::min<size_t>(last, windows.size()); ++t) windows[t] = {};
}

// --- what Python calls: before a launch, and after it ------------------------------------------------------------------
extern "C" void emulator_count(const uint64_t* bytes, int buffers) {
    index.clear(), sites.clear(), warps.clear(), windows.clear(), touched.clear(), touched_sectors.clear(), costs.clear();
    totals.assign(buffers, Totals{});
    for (int i = 0; i < buffers; ++i) {
        touched.emplace_back(bytes[i]);
        touched_sectors.emplace_back((bytes[i] + SECTOR - 1) / SECTOR);
    }
}

extern "C" size_t emulator_counted(const Site** first, Totals* of_all, const double** of_blocks) {
    *of_all = {};
    for (size_t i = 0; i < totals.size(); ++i) {
        const uint64_t bytes = touched[i].size(), sectors = touched_sectors[i].size();
        of_all->read += std::min(bytes, totals[i].read);
        of_all->written += std::min(bytes, totals[i].written);
        of_all->sectors_read += std::min(sectors, totals[i].sectors_read);
        of_all->sectors_written += std::min(sectors, totals[i].sectors_written);
    }
    *first = sites.data();
    *of_blocks = costs.data();
    return sites.size();
}
