// The emulated GPU: runs the threads of a block as fibers, in an order meant to hurt, and checks every memory access.
//
// The kernel's own code is compiled with -fsanitize=thread, which puts a call before each load and store; instead of
// that sanitizer's library, the calls at the end of this file answer. Each access must lie in a buffer of the launch or a
// shared array, be aligned, find memory that was written, and be ordered by barriers against the accesses of others:
//
//     shadow   one Cell each for the last write, reads and atomic updates of each element (of 2 bytes, in shared memory)
//     clock    counts the barriers of a block and of its warps; an earlier access of thread t is ordered before ours
//              if t is ourselves, if a barrier came in between, or, in our warp, a __syncwarp
//     poison   memory starts as the 16-bit pattern 0x7fa5, a NaN in half, bfloat16 and float: to read it is a fault
//
// A fault abandons the launch; the fibers are dropped where they stand, since nothing on their stacks needs cleaning up.
#include "runtime.h"

#include "counters.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace {

constexpr uint16_t POISON = 0x7fa5;
constexpr size_t GAP = 128;
// The tops of stacks that are a power of two apart would displace each other in the caches and in the TLB.
constexpr size_t STACK = 128 * 1024 + 4096 + 64;
constexpr size_t SMALL = 64 * 1024;  // bytes of a shadow that the system is not asked for each time
constexpr size_t ROOM = 4096;  // of a stack, for the runtime itself
constexpr size_t BELOW = 4;     // stacks below the first, which it may overflow into before that is noticed
constexpr size_t SHARED = 512 * 1024;  // of address space for one block: its arrays, with gaps between them

enum FaultKind { NONE, READ_OUTSIDE, WRITE_OUTSIDE, WRITE_CONST, MISALIGNED, UNINITIALISED, RACE, UNFINISHED_COPY, DIVERGENT, MISUSE, STACK_OVERFLOW, HANG };

}  // namespace

extern "C" {

struct Buffer {
    uint64_t low, high;  // addresses
    int32_t element;     // bytes
    int32_t writable;
    int32_t argument;
};

struct Fault {
    int32_t kind;
    int32_t argument;  // index, or -1
    uint32_t block[3], thread[3];
    uint32_t other_block[3], other_thread[3];
    int32_t has_other, line, other_line, bytes, wrote, other_wrote;
    int64_t offset, size;  // of the access within the buffer or array, and its size
    uint64_t pc;           // return address relative to the library, or 0
    const char *file, *what, *other_file;
};

struct Launch {
    uint32_t grid[3], block[3];
    uint64_t shared_bytes;
    void** args;
    Buffer* buffers;
    int32_t buffer_count, order;  // 0 forward, 1 reverse, 2 random
    uint64_t seed;
    int32_t workers, counted;  // counted: counters.cpp hears of it; 2: of each block by itself
    int32_t unordered;         // no races are looked for
    const uint64_t* chosen;    // the blocks that are run, in this order; null: all
    uint64_t chosen_count;
};

struct Entry {
    void (*call)(void**);
    const char* name;
};
}

namespace {

using Cell = std::atomic<uint64_t>;  // block + 1: 26 bits | who: 2 | thread: 10 | clock: 26
enum Who : uint64_t { ONE, WARP, BLOCK, MANY };  // of reads and updates: by one thread, several of a warp, of a block, of the grid

constexpr uint64_t cell(uint64_t block, uint64_t who, uint64_t thread, uint64_t clock) {
    return (block + 1) << 38 | who << 36 | thread << 26 | (clock & 0x3ffffff);
}
uint64_t block_of(uint64_t c) { return (c >> 38) - 1; }
uint64_t who_of(uint64_t c) { return c >> 36 & 3; }
uint64_t thread_of(uint64_t c) { return c >> 26 & 1023; }
uint64_t clock_of(uint64_t c) { return c & 0x3ffffff; }

void* reserve(size_t bytes) {  // zeros, which take memory when they are touched
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) std::abort();
    return p;
}

struct Last {  // accesses of one element
    Cell write, read, update;
};

struct Shadow {
    Last* of = nullptr;
    int shift;  // an element has two to this power bytes
    size_t bytes;
    Shadow(size_t memory, size_t element) : shift(__builtin_ctzll(element)), bytes(((memory >> shift) + 1) * sizeof(Last)) {
        of = static_cast<Last*>(bytes <= SMALL ? std::calloc(bytes, 1) : reserve(bytes));
        if (!of) std::abort();
    }
    Shadow(const Shadow&) = delete;
    ~Shadow() {
        if (bytes <= SMALL)
            std::free(of);
        else
            munmap(of, bytes);
    }
};

struct Copy {
    void* to;
    const void* from;
    bool valid;
    int group;
};

// A product of a warpgroup that has been asked for: `compute` takes the operands of the 32 lanes.
struct Product {
    emulator_compute compute;
    char operand[96];
    int operations, group;
    const char* file;
    int line;
};

struct Event;  // events.h
struct Events;

enum State { READY, AT_BARRIER, AT_WARP, AT_EVENT, DONE };

struct Thread {
    void* sp;  // null before it has begun
    char* stack;
    emulator_dim3 index;
    int id;
    State state;
    const char* file;  // where it waits
    int line;
    int groups;  // of asynchronous copies, committed
    std::vector<Copy> copies;
    const Event* event;  // that it waits for
    std::vector<uint64_t> seen;  // of each thread: accesses before that clock are ordered before ours (empty: of none)
    int product_groups;          // committed
    std::vector<Product> products;

    bool waits_elsewhere(const Thread* t, const char* at_file, int at_line) const {
        return this != t && (line != at_line || (file != at_file && strcmp(file, at_file)));
    }
};

// What one block at a time works in; kept from launch to launch.
struct Memory {
    char* stacks = static_cast<char*>(reserve(STACK * (1024 + BELOW))) + STACK * BELOW;
    char* shared = static_cast<char*>(reserve(SHARED));
    uint16_t* pending = static_cast<uint16_t*>(reserve(SHARED / 8 + 16));  // thread + 1 for each 16 bytes that a copy is under way to
    Shadow shadow{SHARED, 2};
    Cell* readers = nullptr;  // 32 warps, the last reads of each
    uint64_t serial = 0;  // of the blocks that have run here
    std::vector<Thread> threads;
    uint32_t block[3] = {0, 0, 0};  // how many threads there are along each axis
};

std::mutex pool_lock;
std::vector<std::unique_ptr<Memory>>& pool = *new std::vector<std::unique_ptr<Memory>>;

std::unique_ptr<Memory> take_memory() {
    const std::lock_guard<std::mutex> guard(pool_lock);
    if (pool.empty()) return std::make_unique<Memory>();
    auto last = std::move(pool.back());
    pool.pop_back();
    return last;
}

void give_memory(std::unique_ptr<Memory> m) {
    const std::lock_guard<std::mutex> guard(pool_lock);
    pool.push_back(std::move(m));
}

struct Warp {
    void* operands[32];
    const Thread* first;  // of those that wait
    int arrived, at_barrier;
    uint64_t synced;  // the clock of the last __syncwarp
};

struct Array {  // in shared memory
    const void* key;
    size_t low, high, element;
    const char* name;
};

constexpr int ITSELF = -1, NOBODYS = -2;

struct Worker {
    Launch* launch = nullptr;
    Entry* entry = nullptr;
    Thread* current = nullptr;
    void* scheduler = nullptr;
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    std::vector<Array> arrays;
    std::vector<int> order;
    std::vector<char*> stacks_free;  // the one that was in use last comes first: it is still in cache
    std::vector<Shadow*>* shadows = nullptr;
    std::atomic<int>* stop = nullptr;
    Fault* fault = nullptr;
    std::unique_ptr<Memory> memory;
    char *stacks = nullptr, *shared = nullptr;  // those of `memory`
    uint16_t* pending = nullptr;
    Shadow* shadow = nullptr;
    Cell* readers = nullptr;  // while `events` are in use
    std::unique_ptr<Events> events;
    size_t used = 0;
    uint64_t serial = 0;
    int dynamic = -1;  // which of `arrays`
    uint64_t clock = 1, barrier = 1, random = 1;
    emulator_dim3 block;
    uint64_t block_id = 0;
    int count = 0, waiting = 0, votes = 0, verdict = 0, last_buffer = 0, alive = 0;
    bool failed = false;
    bool beside = false;             // other workers run blocks, too
    const Thread* paused = nullptr;  // the last that waits for another block
    bool counted = false;
    int counted_as = ITSELF;  // whose the access at hand is to the counters
    bool quiet = false;  // the instrumented code at work is not the kernel's own
    const Thread* first = nullptr;  // to wait at the barrier
};

}  // namespace

extern "C" __attribute__((tls_model("initial-exec"))) __thread Worker* worker asm("emulator_worker");  // worker.cpp has it

namespace {

// --- fibers ----------------------------------------------------------------------------------------------------------
extern "C" void emulator_switch(void** save, void* load);

#if defined(__x86_64__)
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
.type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulator_switch, . - emulator_switch
)");
void* fresh_stack(char* top, void (*start)()) {
    auto* sp = reinterpret_cast<uint64_t*>(top) - 1;  // a function starts 8 bytes off a multiple of 16: SSE moves rely on it
    *--sp = reinterpret_cast<uint64_t>(start);
    return sp - 6;
}
#elif defined(__aarch64__)
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
.type emulator_switch, %function
emulator_switch:
    sub sp, sp, #160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x2, sp
    str x2, [x0]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size emulator_switch, . - emulator_switch
)");
void* fresh_stack(char* top, void (*start)()) {
    auto* sp = reinterpret_cast<uint64_t*>(top) - 20;
    sp[11] = reinterpret_cast<uint64_t>(start);  // x30, the return address
    return sp;
}
#else
#error "the emulator switches fibers by hand on x86-64 and AArch64: add this processor's callee-saved registers here"
#endif

void yield(Worker* w) { emulator_switch(&w->current->sp, w->scheduler); }

void start() {
    Worker* w = worker;
    w->entry->call(w->launch->args);
    if (!w->current->products.empty()) {
        const Product& p = w->current->products.front();
        emulator_misuse("wgmma", "the kernel ends while its products are under way", p.file, p.line);
    }
    w->current->state = DONE;
    --w->alive;
    yield(w);
    std::abort();
}

// --- faults ----------------------------------------------------------------------------------------------------------
void copy3(uint32_t (&to)[3], emulator_dim3 from) { to[0] = from.x, to[1] = from.y, to[2] = from.z; }

emulator_dim3 unravel(uint64_t i, const uint32_t (&n)[3]) {
    return {static_cast<unsigned>(i % n[0]), static_cast<unsigned>(i / n[0] % n[1]), static_cast<unsigned>(i / n[0] / n[1])};
}

// The fault record, for the first fault of a launch alone; null for others.
Fault* first_fault(Worker* w, FaultKind kind, const Thread* t, Where at) {
    w->failed = true;
    int none = 0;
    if (!w->stop->compare_exchange_strong(none, 1)) return nullptr;
    Fault* f = w->fault;
    *f = Fault{};
    f->kind = kind;
    f->argument = -1;
    copy3(f->block, w->block);
    if (t) copy3(f->thread, t->index);
    f->pc = reinterpret_cast<uint64_t>(at.pc);
    f->file = at.file;
    f->line = at.line;
    return f;
}

[[noreturn]] void abandon(Worker* w) {
    yield(w);
    std::abort();  // nobody comes back to a fiber of a launch that failed
}

void describe(Worker* w, Fault* f, uint64_t p, size_t bytes, bool write) {
    f->bytes = static_cast<int32_t>(bytes);
    f->wrote = write;
    const auto base = reinterpret_cast<uint64_t>(w->shared);
    if (p >= base && p < base + SHARED) {  // the array that it hit, or is nearest to
        const Array* best = nullptr;
        size_t distance = SIZE_MAX;
        for (const Array& a : w->arrays) {
            const size_t at = p - base, d = at < a.low ? a.low - at : at >= a.high ? at - a.high + 1 : 0;
            if (d < distance) best = &a, distance = d;
        }
        if (best) {
            f->what = best->name;
            f->offset = static_cast<int64_t>(p - base) - static_cast<int64_t>(best->low);
            f->size = static_cast<int64_t>(best->high - best->low);
        }
        return;
    }
    if (p < 1 << 20) return;  // the null pointer's neighbourhood
    uint64_t distance = UINT64_MAX;
    for (int i = 0; i < w->launch->buffer_count; ++i) {
        const Buffer& b = w->launch->buffers[i];
        const uint64_t d = p < b.low ? b.low - p : p >= b.high ? p - b.high + 1 : 0;
        if (d < distance) {
            distance = d;
            f->argument = b.argument;
            f->offset = static_cast<int64_t>(p - b.low);
            f->size = static_cast<int64_t>(b.high - b.low);
        }
    }
}

[[noreturn]] void fault(Worker* w, FaultKind kind, const Thread* t, uint64_t p, size_t bytes, bool write, Where at) {
    if (Fault* f = first_fault(w, kind, t, at)) describe(w, f, p, bytes, write);
    abandon(w);
}

// The other side of a divergent barrier: where that thread is, no file if it has returned.
void meets(Worker* w, Fault* f, const Thread& other) {
    f->has_other = 1;
    copy3(f->other_block, w->block);
    copy3(f->other_thread, other.index);
    f->other_line = other.line;
    f->other_file = other.state == DONE ? nullptr : other.file;
}

// --- memory accesses -------------------------------------------------------------------------------------------------
// Whether an access of the same block since its last barrier, of one thread or several of a warp, is ordered before one by `t` now.
__attribute__((noinline)) bool is_heard_of(const Worker* w, const Thread* t, uint64_t c) {
    if (!t->seen.empty()) {
        const size_t from = thread_of(c) / 32 * 32;  // of several in a warp all must have been seen
        const auto is_seen = [&](uint64_t seen) { return clock_of(c) < seen; };
        if (who_of(c) == ONE ? is_seen(t->seen[thread_of(c)]) : std::all_of(&t->seen[from], &t->seen[from] + 32, is_seen)) return true;
    }
    return thread_of(c) / 32 == static_cast<uint64_t>(t->id) / 32 && clock_of(c) < w->warps[t->id / 32].synced;
}

// Whether an access that left `c` is not ordered before one by `t` now. `here` numbers the block; in shared memory, other numbers
// were left behind: as good as empty.
template <bool SHARED_MEMORY> inline bool conflicts(const Worker* w, const Thread* t, uint64_t c, uint64_t here) {
    if (!c) return false;
    if (block_of(c) != here) return !SHARED_MEMORY;
    if (who_of(c) == MANY) return true;
    if (clock_of(c) < w->barrier) return false;
    if (who_of(c) == BLOCK) return true;
    if (who_of(c) == ONE && thread_of(c) == static_cast<uint64_t>(t->id)) return false;
    return !is_heard_of(w, t, c);
}

[[noreturn]] void race(Worker* w, const Thread* t, uint64_t c, bool other_wrote, uint64_t p, size_t bytes, bool write, Where at) {
    if (Fault* f = first_fault(w, RACE, t, at)) {
        describe(w, f, p, bytes, write);
        f->has_other = 1;
        f->other_wrote = other_wrote;
        copy3(f->other_block, f->what ? w->block : unravel(block_of(c), w->launch->grid));
        copy3(f->other_thread, unravel(thread_of(c), w->launch->block));
    }
    abandon(w);
}

enum Access { READ, WRITE, UPDATE };  // an update is atomic: in no conflict with others

// Element k of a shadow.
template <Access HOW, bool SHARED_MEMORY>
inline void check_element(Worker* w, const Thread* t, Shadow& s, size_t k, uint64_t here, uint64_t p, size_t bytes, const Where& at) {
    Last& last = s.of[k];
    const uint64_t last_write = last.write.load(std::memory_order_relaxed), last_read = last.read.load(std::memory_order_relaxed),
                   last_update = last.update.load(std::memory_order_relaxed);
    const auto is_conflict = [&](uint64_t c) { return conflicts<SHARED_MEMORY>(w, t, c, here); };
    const auto id = static_cast<uint64_t>(t->id);
    if (is_conflict(last_write)) race(w, t, last_write, true, p, bytes, HOW != READ, at);
    if (HOW != UPDATE && is_conflict(last_update)) race(w, t, last_update, true, p, bytes, HOW != READ, at);
    if (HOW != READ && is_conflict(last_read)) race(w, t, last_read, false, p, bytes, true, at);
    if (SHARED_MEMORY && w->readers) {
        const auto last_read_of = [&](uint64_t warp) -> Cell& { return w->readers[warp * (SHARED / 2) + k]; };
        if (HOW == READ) {
            const uint64_t who = is_conflict(last_read_of(id / 32)) ? WARP : ONE;
            return last_read_of(id / 32).store(cell(here, who, id, w->clock), std::memory_order_relaxed);
        }
        for (int warp = 0; warp < (w->count + 31) / 32; ++warp)
            if (const uint64_t c = last_read_of(warp); is_conflict(c)) race(w, t, c, false, p, bytes, true, at);
    }
    if (HOW == WRITE) return last.write.store(cell(here, ONE, id, w->clock), std::memory_order_relaxed);
    const uint64_t before = HOW == READ ? last_read : last_update;
    uint64_t who = ONE;
    if (is_conflict(before)) {  // several threads since the last barrier
        if (block_of(before) != here || who_of(before) == MANY)
            who = MANY;
        else
            who = who_of(before) == BLOCK || thread_of(before) / 32 != id / 32 ? BLOCK : WARP;
    }
    (HOW == READ ? last.read : last.update).store(cell(here, who, id, w->clock), std::memory_order_relaxed);
}

template <typename Word> bool contains(const char* p, size_t bytes, Word value) {
    for (size_t i = 0; i + sizeof(Word) <= bytes; i += sizeof(Word)) {
        Word word;
        memcpy(&word, p + i, sizeof(Word));
        if (word == value) return true;
    }
    return false;
}

bool poisoned(const char* p, size_t bytes, size_t element) {
    if (element >= 4) return contains<uint32_t>(p, bytes, POISON * 0x10001u);
    return element == 2 && contains<uint16_t>(p, bytes, POISON);
}

// Apart, as launches that are not counted should not pay for it.
__attribute__((noinline, cold)) void count(const Worker* w, const Thread* t, uint64_t p, size_t bytes, Access how, int buffer, uint64_t offset, bool aligned, Where at) {
    if (w->counted_as != NOBODYS) count_access(w->counted_as == ITSELF ? t->id : w->counted_as, p, bytes, how, buffer, offset, aligned, at);
}

template <Access HOW> void access_shared(Worker* w, const Thread* t, uint64_t p, size_t bytes, const Where& at, bool aligned) {
    const size_t low = p - reinterpret_cast<uint64_t>(w->shared), high = low + bytes;
    const Array* in = nullptr;
    for (const Array& a : w->arrays)
        if (low >= a.low && high <= a.high) {
            in = &a;
            break;
        }
    if (!in) fault(w, HOW != READ ? WRITE_OUTSIDE : READ_OUTSIDE, t, p, bytes, HOW != READ, at);
    for (size_t i = low / 16; i <= (high - 1) / 16; ++i)
        if (w->pending[i]) {
            if (Fault* f = first_fault(w, UNFINISHED_COPY, t, at)) {
                describe(w, f, p, bytes, HOW != READ);
                f->has_other = 1;
                copy3(f->other_block, w->block);
                copy3(f->other_thread, w->threads[w->pending[i] - 1].index);
            }
            abandon(w);
        }
    if (HOW != WRITE && poisoned(reinterpret_cast<const char*>(p), bytes, in->element)) fault(w, UNINITIALISED, t, p, bytes, false, at);
    if (w->counted) count(w, t, p, bytes, HOW, -1, low, aligned, at);
    if (bytes == 1 || w->launch->unordered) return;  // two threads may own neighbouring bytes; cells are of two
    for (size_t i = low / 2; i <= (high - 1) / 2; ++i) check_element<HOW, true>(w, t, *w->shadow, i, w->serial, p, bytes, at);
}

int buffer_of(Worker* w, uint64_t p, size_t bytes) {
    const Launch* l = w->launch;
    const auto is_in = [&](int i) { return p >= l->buffers[i].low && p + bytes <= l->buffers[i].high; };
    if (l->buffer_count && is_in(w->last_buffer)) return w->last_buffer;
    for (int i = 0; i < l->buffer_count; ++i)
        if (is_in(i)) return w->last_buffer = i;
    return -1;
}

extern "C" char __executable_start[] __attribute__((weak, visibility("hidden")));
extern "C" char __ehdr_start[] __attribute__((weak, visibility("hidden")));
extern "C" char _end[] __attribute__((weak, visibility("hidden")));

bool in_library(uint64_t p) { return p >= reinterpret_cast<uint64_t>(__ehdr_start) && p < reinterpret_cast<uint64_t>(_end); }

template <Access HOW> void access_global(Worker* w, const Thread* t, uint64_t p, size_t bytes, const Where& at, bool aligned) {
    constexpr bool write = HOW != READ;
    const int i = buffer_of(w, p, bytes);
    if (i < 0) {
        if (!write && in_library(p)) return;  // a constant table
        fault(w, write ? WRITE_OUTSIDE : READ_OUTSIDE, t, p, bytes, write, at);
    }
    const Buffer& b = w->launch->buffers[i];
    if (write && !b.writable) fault(w, WRITE_CONST, t, p, bytes, write, at);
    if (HOW != WRITE && poisoned(reinterpret_cast<const char*>(p), bytes, b.element)) fault(w, UNINITIALISED, t, p, bytes, false, at);
    if (w->counted) count(w, t, p, bytes, HOW, i, p - b.low, aligned, at);
    if (!b.writable || w->launch->unordered) return;
    Shadow& s = *(*w->shadows)[i];
    for (size_t k = (p - b.low) >> s.shift; k <= (p + bytes - 1 - b.low) >> s.shift; ++k)
        check_element<HOW, false>(w, t, s, k, w->block_id, p, bytes, at);
}

// `aligned`: in one instruction, to an address that its size must divide.
template <Access HOW>
inline void access(Worker* w, const Thread* t, const void* address, size_t bytes, const Where& at, bool aligned = true) {
    const auto p = reinterpret_cast<uint64_t>(address);
    if (aligned && p % bytes) fault(w, MISALIGNED, t, p, bytes, HOW != READ, at);
    if (p - reinterpret_cast<uint64_t>(w->shared) < SHARED)
        access_shared<HOW>(w, t, p, bytes, at, aligned);
    else
        access_global<HOW>(w, t, p, bytes, at, aligned);
}

// What the instrumentation sees. Inlined where `bytes` is a constant.
template <Access HOW> inline __attribute__((always_inline)) void access(const void* p, size_t bytes, const void* pc, bool aligned) {
    Worker* w = worker;
    if (!w || w->quiet || reinterpret_cast<uint64_t>(p) - reinterpret_cast<uint64_t>(w->stacks) < STACK * w->count) return;
    if (bytes) access<HOW>(w, w->current, p, bytes, {pc, nullptr, 0}, aligned);
}

}  // namespace

#include "events.h"

#include "asynchronous.h"

namespace {

// --- a block ---------------------------------------------------------------------------------------------------------
void release(Worker* w) {
    w->verdict = w->votes;
    w->votes = w->waiting = 0;
    w->barrier = ++w->clock;
    if (w->counted) count_sync(0, w->count);
    for (Warp& warp : w->warps) warp.at_barrier = 0;
    for (Thread& t : w->threads) t.state = READY;
}

// Nobody can go on: some wait at a barrier or for their warp, the others never come.
void divergent(Worker* w) {
    for (const Thread& t : w->threads)
        if (t.state == AT_EVENT) return hang(w);
    const Thread *waits = nullptr, *other = nullptr;
    for (const Thread& t : w->threads)
        if (t.state != DONE && (!waits || (t.state == AT_BARRIER && waits->state != AT_BARRIER))) waits = &t;
    for (const Thread& t : w->threads)
        if (t.id != waits->id && (t.state == DONE || t.state != waits->state) && (!other || t.state == DONE)) {
            if (waits->state == AT_WARP && t.id / 32 != waits->id / 32) continue;
            other = &t;
        }
    if (Fault* f = first_fault(w, DIVERGENT, waits, {nullptr, waits->file, waits->line})) {
        if (other) meets(w, f, *other);
    }
}

uint64_t next_random(uint64_t& s) {  // xorshift64
    s ^= s << 13, s ^= s >> 7, s ^= s << 17;
    return s;
}

void shuffle(std::vector<int>& v, uint64_t& s) {
    for (size_t i = v.size(); i > 1; --i) std::swap(v[i - 1], v[next_random(s) % i]);
}

void run_block(Worker* w, uint64_t id) {
    const Launch* l = w->launch;
    w->block_id = id;
    w->serial = ++w->memory->serial & 0x1ffffff;
    w->block = unravel(id, l->grid);
    w->clock = w->barrier = 1;
    w->waiting = w->votes = 0;
    w->alive = w->count;
    w->random = (l->seed + 1) * 0x9e3779b97f4a7c15u ^ (id + 1) * 0xbf58476d1ce4e5b9u;
    memset(w->pending, 0, (w->used / 16 + 1) * sizeof(uint16_t));
    w->arrays.clear();
    w->used = 0;
    w->dynamic = -1;
    w->readers = nullptr;
    w->events.reset();
    for (Warp& warp : w->warps) warp = Warp{};
    for (Thread& t : w->threads) {
        t.sp = nullptr;
        t.state = READY;
        t.groups = t.product_groups = 0;
        t.copies.clear();
        t.products.clear();
        t.seen.clear();
        t.event = nullptr;
    }
    uint64_t rounds = 0;
    while (w->alive) {
        if (l->order == 2) shuffle(w->order, w->random);
        bool any = false, moved = false;  // moved: not only to look whether another block has done something
        for (const int i : w->order) {
            Thread& t = w->threads[i];
            if (t.state != READY) continue;
            any = true;
            w->current = &t;
            if (!t.sp) {
                t.stack = w->stacks_free.back();
                w->stacks_free.pop_back();
                t.sp = fresh_stack(t.stack + STACK, start);
            }
            emulator_switch(&w->scheduler, t.sp);
            if (w->failed) return;
            if (t.state == DONE) w->stacks_free.push_back(t.stack);
            moved |= w->paused != &t;
        }
        if (!any) return divergent(w);
        if (in_vain(w, moved, rounds)) return;
    }
    if (w->counted) count_sync(0, w->count);
}

void prepare(Worker* w) {
    const Launch* l = w->launch;
    w->count = static_cast<int>(l->block[0] * l->block[1] * l->block[2]);
    w->warps.resize((w->count + 31) / 32);
    w->order.resize(w->count);
    w->memory = take_memory();
    w->stacks = w->memory->stacks;
    w->shared = w->memory->shared;
    w->pending = w->memory->pending;
    w->shadow = &w->memory->shadow;
    w->used = SHARED;
    w->threads.swap(w->memory->threads);
    for (int i = 0; i < w->count; ++i) w->order[i] = l->order == 1 ? w->count - 1 - i : i;
    for (int i = w->count; i > 0; --i) w->stacks_free.push_back(w->stacks + STACK * (i - 1));
    if (!memcmp(w->memory->block, l->block, sizeof(l->block))) return;
    memcpy(w->memory->block, l->block, sizeof(l->block));
    w->threads.resize(w->count);
    for (int i = 0; i < w->count; ++i) {
        Thread& t = w->threads[i];
        t.id = i;
        t.index = unravel(i, l->block);
    }
}

void run_blocks(Worker* w, const std::vector<uint64_t>& blocks, std::atomic<size_t>& next) {
    worker = w;
    prepare(w);
    for (size_t i; (i = next.fetch_add(1)) < blocks.size() && !w->stop->load();) {
        run_block(w, blocks[i]);
        if (w->launch->counted == 2) count_end();
    }
    if (w->launch->counted == 1) count_end();
    worker = nullptr;
    w->events.reset();
    w->threads.swap(w->memory->threads);
    give_memory(std::move(w->memory));
}

void* allocate_shared(Worker* w, const void* key, size_t bytes, size_t align, size_t element, const char* name) {
    const size_t step = std::max<size_t>(align, 16), low = (w->used + GAP + step - 1) / step * step;
    if (low + bytes + GAP > SHARED) emulator_misuse(name, "a block has at most 227 KiB of shared memory", nullptr, 0);
    const size_t from = w->used, to = (low + bytes + GAP) / 16 * 16;
    std::fill_n(reinterpret_cast<uint16_t*>(w->shared + from), (to - from) / 2, POISON);
    w->arrays.push_back({key, low, low + bytes, element, name});
    w->used = to;
    return w->shared + low;
}

}  // namespace

// --- what kernels call -----------------------------------------------------------------------------------------------
emulator_dim3 emulator_thread_index() { return worker->current->index; }
emulator_dim3 emulator_block_index() { return worker->block; }
emulator_dim3 emulator_block_dim() { return {worker->launch->block[0], worker->launch->block[1], worker->launch->block[2]}; }
emulator_dim3 emulator_grid_dim() { return {worker->launch->grid[0], worker->launch->grid[1], worker->launch->grid[2]}; }
int emulator_lane() { return worker->current->id % 32; }

void* emulator_shared(const void* key, size_t bytes, size_t align, size_t element, const char* name) {
    Worker* w = worker;
    for (const Array& a : w->arrays)
        if (a.key == key) return w->shared + a.low;
    return allocate_shared(w, key, bytes, align, element, name);
}

void* emulator_dynamic_shared(size_t align) {
    Worker* w = worker;
    static const char key = 0;
    return emulator_shared(&key, w->launch->shared_bytes, std::max<size_t>(align, 16), 4, "dynamic shared memory");
}

int emulator_barrier_count(int predicate, const char* file, int line) {
    Worker* w = worker;
    Thread* t = w->current;
    if (!w->waiting) w->first = t;
    if (w->first->waits_elsewhere(t, file, line)) {
        if (Fault* f = first_fault(w, DIVERGENT, t, {nullptr, file, line})) meets(w, f, *w->first);
        abandon(w);
    }
    t->file = file;
    t->line = line;
    w->votes += predicate != 0;
    if (++w->waiting == w->count) {
        release(w);
        return w->verdict;
    }
    const int first = t->id / 32 * 32, last = std::min(first + 32, w->count);
    // A warp that has all come is counted at once: while what its threads asked for is in cache.
    if (++w->warps[t->id / 32].at_barrier == last - first && w->counted) count_sync(first, last);
    t->state = AT_BARRIER;
    yield(w);
    return w->verdict;
}

void emulator_barrier(const char* file, int line) { emulator_barrier_count(0, file, line); }

void emulator_warp(void* operand, emulator_compute compute, const char* file, int line) {
    Worker* w = worker;
    Thread* t = w->current;
    if (w->count % 32) emulator_misuse("a warp collective", "the block must consist of whole warps of 32 threads", file, line);
    Warp& warp = w->warps[t->id / 32];
    if (!warp.arrived) warp.first = t;
    if (warp.first->waits_elsewhere(t, file, line)) {
        if (Fault* f = first_fault(w, DIVERGENT, t, {nullptr, file, line})) meets(w, f, *warp.first);
        abandon(w);
    }
    warp.operands[t->id % 32] = operand;
    t->file = file;
    t->line = line;
    if (++warp.arrived < 32) {
        t->state = AT_WARP;
        yield(w);
        return;
    }
    warp.arrived = 0;
    if (compute) {
        w->quiet = true;
        compute(warp.operands);
        w->quiet = false;
    } else {
        warp.synced = ++w->clock;
    }
    const int first_lane = t->id / 32 * 32;
    if (!compute && w->readers) {  // what one of them has heard, all have now
        std::vector<uint64_t> all;
        for (int i = first_lane; i < first_lane + 32; ++i) hear(all, w->threads[i].seen);
        for (int i = first_lane; i < first_lane + 32; ++i) hear(w->threads[i].seen, all);
    }
    if (w->counted) count_sync(first_lane, first_lane + 32);
    for (int i = first_lane; i < first_lane + 32; ++i) w->threads[i].state = READY;
}

void emulator_atomic(void* p, void* was, const void* argument, size_t bytes, emulator_update update, const char* file, int line) {
    Worker* w = worker;
    access<UPDATE>(w, w->current, p, bytes, {nullptr, file, line});
    static std::atomic_flag lock = ATOMIC_FLAG_INIT;
    while (lock.test_and_set(std::memory_order_acquire)) {
    }
    char result[16];
    memcpy(was, p, bytes);
    w->quiet = true;
    update(was, argument, result);
    w->quiet = false;
    memcpy(p, result, bytes);
    lock.clear(std::memory_order_release);
}

void emulator_reads(const void* p, size_t bytes, int lane, const char* file, int line, bool counted) {
    Worker* w = worker;
    const Thread* t = lane < 0 ? w->current : &w->threads[w->current->id / 32 * 32 + lane];
    w->counted_as = counted ? ITSELF : NOBODYS;
    access<READ>(w, t, p, bytes, {nullptr, file, line});
    w->counted_as = ITSELF;
}

void emulator_aligned(const void* p, size_t bytes, const char* file, int line) {
    Worker* w = worker;
    const auto at = reinterpret_cast<uint64_t>(p);
    if (at % bytes) fault(w, MISALIGNED, w->current, at, bytes, false, {nullptr, file, line});
    if (w->counted) count_vector(w->current->id, at, bytes);
}

void emulator_misuse(const char* what, const char* why, const char* file, int line) {
    Worker* w = worker;
    if (Fault* f = first_fault(w, MISUSE, w->current, {nullptr, file, line})) {
        f->what = what;
        f->other_file = why;
    }
    abandon(w);
}

void emulator_copy_async(void* shared, const void* global, bool valid, const char* file, int line) {
    Worker* w = worker;
    Thread* t = w->current;
    const Where at{nullptr, file, line};
    const auto to = reinterpret_cast<uint64_t>(shared);
    if (to - reinterpret_cast<uint64_t>(w->shared) >= SHARED) emulator_misuse("cp.async", "the destination must be shared memory", file, line);
    if (valid) access<READ>(w, t, global, 16, at);
    access<WRITE>(w, t, shared, 16, at);
    w->pending[(to - reinterpret_cast<uint64_t>(w->shared)) / 16] = static_cast<uint16_t>(t->id + 1);
    t->copies.push_back({shared, global, valid, t->groups});
}

void emulator_copy_commit() { ++worker->current->groups; }

void emulator_copy_wait(int groups) {
    Worker* w = worker;
    Thread* t = w->current;
    size_t kept = 0;
    for (const Copy& c : t->copies) {
        if (c.group >= t->groups - groups) {
            t->copies[kept++] = c;
            continue;
        }
        if (c.valid)
            memcpy(c.to, c.from, 16);
        else
            memset(c.to, 0, 16);
        w->pending[(static_cast<char*>(c.to) - w->shared) / 16] = 0;
        access<WRITE>(w, t, c.to, 16, {});
    }
    t->copies.resize(kept);
}

// --- what Python calls -----------------------------------------------------------------------------------------------
extern "C" int emulator_run(Entry* entry, Launch* launch, Fault* record) {
    const uint64_t count = uint64_t(launch->grid[0]) * launch->grid[1] * launch->grid[2];
    std::vector<uint64_t> blocks(count);
    for (uint64_t i = 0; i < count; ++i) blocks[i] = launch->order == 1 ? count - 1 - i : i;
    if (launch->order == 2) {
        uint64_t s = launch->seed * 0x9e3779b97f4a7c15u + 1;
        for (uint64_t i = count; i > 1; --i) std::swap(blocks[i - 1], blocks[next_random(s) % i]);
    }
    if (launch->chosen) blocks.assign(launch->chosen, launch->chosen + launch->chosen_count);
    std::vector<std::unique_ptr<Shadow>> own;
    std::vector<Shadow*> shadows;
    for (int i = 0; i < launch->buffer_count; ++i) {
        const Buffer& b = launch->buffers[i];
        own.push_back(b.writable ? std::make_unique<Shadow>(b.high - b.low, b.element) : nullptr);
        shadows.push_back(own.back().get());
    }
    std::atomic<int> stop{0};
    std::atomic<size_t> next{0};
    const auto work = [&] {
        Worker w;
        w.launch = launch;
        w.counted = launch->counted;
        w.entry = entry;
        w.shadows = &shadows;
        w.stop = &stop;
        w.fault = record;
        w.beside = std::min<uint64_t>(launch->workers, count) > 1;
        run_blocks(&w, blocks, next);
    };
    std::vector<std::thread> helpers;
    for (uint64_t i = 1; i < std::min<uint64_t>(launch->workers, count); ++i) helpers.emplace_back(work);
    work();
    for (std::thread& t : helpers) t.join();
    if (stop && record->pc) record->pc -= reinterpret_cast<uint64_t>(__ehdr_start);
    return stop;
}

// --- what the instrumentation calls ----------------------------------------------------------------------------------
extern "C" {
#define HOOK(name, bytes, how, aligned) \
    void name(void* p) { access<how>(p, bytes, __builtin_return_address(0), aligned); }
#define HOOKS(n)                                     \
    HOOK(__tsan_read##n, n, READ, true)              \
    HOOK(__tsan_write##n, n, WRITE, true)            \
    HOOK(__tsan_unaligned_read##n, n, READ, false)   \
    HOOK(__tsan_unaligned_write##n, n, WRITE, false) \
    HOOK(__tsan_volatile_read##n, n, READ, true)     \
    HOOK(__tsan_volatile_write##n, n, WRITE, true)
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
// Structures that are aligned to less than their size: the compiler moves them in parts.
void __tsan_read_range(void* p, unsigned long n) { access<READ>(p, n, __builtin_return_address(0), false); }
void __tsan_write_range(void* p, unsigned long n) { access<WRITE>(p, n, __builtin_return_address(0), false); }
void __tsan_init() {}
void __tsan_func_entry(void*) {
    Worker* w = worker;
    if (!w || w->quiet || static_cast<char*>(__builtin_frame_address(0)) > w->current->stack + ROOM) return;
    first_fault(w, STACK_OVERFLOW, w->current, {__builtin_return_address(0), nullptr, 0});
    abandon(w);
}
void __tsan_func_exit() {}
void __sanitizer_cov_trace_pc() {
    const Worker* w = worker;
    if (w && w->counted && !w->quiet) count_block(w->current->id, __builtin_return_address(0));
}
void __tsan_vptr_update(void**, void*) {}
// Copies and fills: to clang from 16 on they are hooks, before that, and to GCC, calls of the functions (renamed: build.py).
#define COPY(name, function)                                        \
    void* name(void* to, const void* from, unsigned long n) {       \
        access<READ>(from, n, __builtin_return_address(0), false);  \
        access<WRITE>(to, n, __builtin_return_address(0), false);   \
        return function(to, from, n);                               \
    }
#define FILL(name)                                                  \
    void* name(void* to, int value, unsigned long n) {              \
        access<WRITE>(to, n, __builtin_return_address(0), false);   \
        return memset(to, value, n);                                \
    }
COPY(__tsan_memcpy, memcpy)
COPY(__tsan_memmove, memmove)
FILL(__tsan_memset)
COPY(emulator_memcpy, memcpy)
COPY(emulator_memmove, memmove)
FILL(emulator_memset)
}
