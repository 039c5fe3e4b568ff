// Counters of a profile: what the accesses of a launch ask of a GPU's memory, by place in the code.
//
// The threads of a warp run one after the other here, and together on a GPU: accesses at one place are joined to requests by
// turn, each thread's k-th since the last barrier of its block or warp with the k-th of the others (coalescing.h: what these ask for).
//
// What each block of a sample asks for is kept by itself, and how many blocks it stands for is said at the end: more blocks may run
// then, of which all that ran before are a part. Bytes that no block before it touched are counted as often as all else that it
// does, though a buffer has no more than there are. What a block keeps busy is summed up, too: for how much blocks differ.
//
// A launch is counted by one worker, so nothing here is locked.
#include "counters.h"

#include "coalescing.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

enum Space : int32_t { GLOBAL, SHARED, CODE, TENSOR };

struct Site {
    uint64_t pc;
    const char* file;
    int32_t line, space, how, bytes;  // bytes: of the widest access
    Sums sums;                        // once all have been told how many blocks they stand for
    uint64_t worst;                   // cycles of a phase of shared memory
};

struct Totals {
    uint64_t read, written;                  // bytes of the buffers, each counted once
    uint64_t sectors_read, sectors_written;  // and their sectors
};

struct Block {  // or several that stand for nobody else
    std::vector<Sums> of;        // each site
    std::vector<Totals> totals;  // of each buffer
    double cost;                 // about the cycles of a multiprocessor
};

struct Key {
    uint64_t at;    // the address of the code, or of the name of the file
    uint64_t what;  // line: 32 bits, space, how. One number: to compare two that were just put together takes longer
    bool operator==(const Key& k) const { return at == k.at && what == k.what; }
};
struct Hash {
    size_t operator()(const Key& k) const {
        const uint64_t mixed = (k.at ^ k.what << 20) * 0x9e3779b97f4a7c15u;
        return mixed >> 32 ^ mixed;
    }
};

struct Pending {  // of a warp at one site, since the last barrier
    uint32_t turns[32] = {};
    bool is_open = false;
    size_t count = 0;               // of the requests that are in use
    std::vector<Request> requests;  // those that are not keep their memory
};
struct Warp {
    std::vector<Pending> at;  // each site
    std::vector<size_t> open;
};
struct Window {  // a vector access, of which the compiler may have made several
    uint64_t address, bytes;
    int how;  // -1 before the first of them
    bool holds(uint64_t p, int access) const { return p - address < bytes && (how < 0 || how == access); }
};
struct Free {
    void operator()(void* p) const { std::free(p); }
};
struct Marks {  // of each byte of a buffer, or of each sector: 1 read, 2 written. What nobody touches takes no memory
    std::unique_ptr<uint8_t, Free> of;
    uint64_t count;
    explicit Marks(uint64_t n) : of(static_cast<uint8_t*>(std::calloc(n + 1, 1))), count(n) {
        if (!of) std::abort();
    }
};

constexpr size_t LATELY = 1024;
std::pair<Key, size_t> lately[LATELY];  // sites that were asked for, by their hash
std::unordered_map<Key, size_t, Hash> known_sites;
std::vector<Site> sites;
std::vector<Warp> warps;  // as many as a block may have
std::vector<Window> windows;
std::vector<Marks> touched, touched_sectors;  // of each buffer
std::vector<Block> blocks;
std::vector<Sums> sums;  // of the block at hand, by site
std::vector<Totals> totals;
std::vector<double> costs;  // of each of `blocks`
double cost = 0;
constexpr double CODE_CYCLES = 1, OPERATIONS = 4096;  // of a basic block, of some four instructions; what a cycle does

extern "C" char __ehdr_start[] __attribute__((weak, visibility("hidden")));

// One that is not, or no longer, among the sites that were asked for lately. Apart, as others should not pay for it.
__attribute__((noinline, cold)) size_t seldom(const Key& key, Where at, Space space, int how) {
    const auto found = known_sites.emplace(key, sites.size());
    if (found.second) {
        const uint64_t pc = at.pc ? reinterpret_cast<uint64_t>(at.pc) - reinterpret_cast<uint64_t>(__ehdr_start) : 0;  // in the library
        sites.push_back({pc, at.file, at.line, space, how, 0, {}, 0});
        sums.resize(sites.size());
        for (Warp& warp : warps) warp.at.resize(sites.size());
    }
    lately[Hash{}(key) % LATELY] = {key, found.first->second};
    return found.first->second;
}

inline Pending& pending(int thread, Space space, int how, const Where& at, size_t& site) {
    const Key key{reinterpret_cast<uint64_t>(at.pc ? at.pc : at.file), uint64_t(at.line) << 32 | space << 2 | how};
    const auto& [last, known] = lately[Hash{}(key) % LATELY];
    site = last == key ? known : seldom(key, at, space, how);
    Warp& warp = warps[thread / 32];
    Pending& p = warp.at[site];
    if (!p.is_open) warp.open.push_back(site);
    p.is_open = true;
    return p;
}

void close(size_t number, Pending& p) {
    Site& site = sites[number];
    Sums& s = sums[number];
    if (site.space == CODE) {
        const uint32_t turns = *std::max_element(p.turns, p.turns + 32);
        s.requests += turns;
        cost += CODE_CYCLES * turns;
    }
    s.requests += p.count;
    for (size_t i = 0; i < p.count; ++i) cost += site.space == GLOBAL ? close_global(s, p.requests[i]) : close_shared(s, p.requests[i], site.how == UPDATE, site.worst);
    std::fill_n(p.turns, 32, 0);
    p.count = 0;
    p.is_open = false;
}

bool are_all(const uint8_t* marks, size_t n, uint8_t mark) {
    uint8_t all = mark;
    for (; n >= 4; n -= 4, marks += 4) {
        uint32_t four;
        std::memcpy(&four, marks, 4);
        if ((four & mark * 0x1010101u) != mark * 0x1010101u) return false;
    }
    while (n--) all &= *marks++;
    return all == mark;
}

void touch(int buffer, uint64_t offset, size_t bytes, int how) {
    const uint8_t mark = how == READ ? 1 : how == WRITE ? 2 : 3;
    uint8_t *of_bytes = touched[buffer].of.get(), *of_sectors = touched_sectors[buffer].of.get();
    if (are_all(of_bytes + offset, bytes, mark)) return;  // so are their sectors
    const auto add = [mark](uint8_t& marks, uint64_t& read, uint64_t& written) {
        const int added = mark & ~marks;
        marks |= added;
        read += added & 1;
        written += added >> 1;
    };
    Totals& t = totals[buffer];
    for (uint64_t i = offset; i < offset + bytes; ++i) add(of_bytes[i], t.read, t.written);
    for (uint64_t i = offset / SECTOR; i * SECTOR < offset + bytes; ++i) add(of_sectors[i], t.sectors_read, t.sectors_written);
}

}  // namespace

void count_end() {
    const size_t buffers = totals.size();
    blocks.push_back({std::move(sums), std::move(totals), cost});
    sums.assign(sites.size(), Sums{});
    totals.assign(buffers, Totals{});
    cost = 0;
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
        if (turn == p.count) {  // the first of its warp
            if (p.requests.size() == turn) p.requests.emplace_back();
            std::fill_n(p.requests[p.count++].bytes, 32, 0);
        }
        p.requests[turn].address[thread % 32] = base + done;
        p.requests[turn].bytes[thread % 32] = static_cast<uint8_t>(piece);
        sites[site].bytes = std::max<int32_t>(sites[site].bytes, static_cast<int32_t>(piece));
        ++sums[site].threads;
        sums[site].requested += piece;
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
}

void count_tensor(int thread, int operations, Where at) {
    size_t site;
    pending(thread, TENSOR, UPDATE, at, site);
    ++sums[site].requests;
    sums[site].requested += operations;
    cost += operations / OPERATIONS;
}

void count_sync(int first, int last) {
    for (int warp = first / 32; warp < (last + 31) / 32; ++warp) {
        for (const size_t site : warps[warp].open) close(site, warps[warp].at[site]);
        warps[warp].open.clear();
    }
    for (size_t t = first; t < std::min<size_t>(last, windows.size()); ++t) windows[t] = {};
}

// --- what Python calls: before the first blocks of a launch, and after some of them --------------------------------------
extern "C" void emulator_count(const uint64_t* bytes, int buffers) {
    known_sites.clear(), sites.clear(), warps.clear(), windows.clear(), touched.clear(), touched_sectors.clear();
    blocks.clear(), sums.clear(), costs.clear();
    std::fill_n(lately, LATELY, std::pair<Key, size_t>{});
    warps.resize(32);
    totals.assign(buffers, Totals{});
    cost = 0;
    for (int i = 0; i < buffers; ++i) {
        touched.emplace_back(bytes[i]);
        touched_sectors.emplace_back((bytes[i] + SECTOR - 1) / SECTOR);
    }
}

// `weights`: for how many each of the blocks stands that ran first; what ran after them, for itself.
extern "C" size_t emulator_counted(const uint64_t* weights, size_t count, const Site** first, Totals* of_all, const double** of_blocks) {
    std::vector<Totals> of_buffers(touched.size());
    for (Site& site : sites) site.sums = {};
    costs.clear();
    for (size_t i = 0; i < blocks.size(); ++i) {
        const uint64_t weight = i < count ? weights[i] : 1;
        for (size_t k = 0; k < blocks[i].of.size(); ++k) sites[k].sums.add(blocks[i].of[k], weight);
        for (size_t k = 0; k < of_buffers.size(); ++k) {
            const Totals& t = blocks[i].totals[k];
            of_buffers[k].read += weight * t.read, of_buffers[k].written += weight * t.written;
            of_buffers[k].sectors_read += weight * t.sectors_read, of_buffers[k].sectors_written += weight * t.sectors_written;
        }
        costs.push_back(blocks[i].cost);
    }
    *of_all = {};
    for (size_t i = 0; i < of_buffers.size(); ++i) {
        const uint64_t bytes = touched[i].count, sectors = touched_sectors[i].count;
        of_all->read += std::min(bytes, of_buffers[i].read);
        of_all->written += std::min(bytes, of_buffers[i].written);
        of_all->sectors_read += std::min(sectors, of_buffers[i].sectors_read);
        of_all->sectors_written += std::min(sectors, of_buffers[i].sectors_written);
    }
    *first = sites.data();
    *of_blocks = costs.data();
    return sites.size();
}
