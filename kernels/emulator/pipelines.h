// The part of runtime.cpp where threads wait for each other by halves: mbarriers, named barriers, bulk copies, products of
// warpgroups. Included there, after the checks of memory accesses.
//
//     event    an mbarrier or a named barrier: a phase ends once as many threads have arrived as it expects, and the bytes
//              that they announced have come
//     seen     what a thread knows of each other one: accesses before that clock are ordered before its own. To arrive is to
//              tell the event, to wait until the phase has ended is to hear from it
//     copies   are as a thread of their own for each mbarrier, numbered from the last down. They land when somebody waits:
//              as late as a GPU might
//     products of a warpgroup read their operands, and write their results, when they are waited for: what overwrites an
//              operand before, or reads a result, has the wrong numbers, or is a race

namespace {

constexpr int NOBODY = 1024;  // threads, and copies, that may be seen
constexpr int NAMED = 16;     // barriers of a block, of which the first is that of __syncthreads

struct BulkCopy {
    char* to;
    const char* from;  // null: zeros
    size_t bytes;
};

struct Event {
    const void* at;  // the mbarrier; null for a named barrier
    int number, expected, arrived;
    uint64_t phase;
    int64_t bytes;  // announced, less those asked for
    std::vector<uint64_t> told, ended;  // in this phase; until the end of the last
    std::vector<BulkCopy> copies;
    int waiting;
};

struct Pipelines {
    std::vector<std::unique_ptr<Event>> mbarriers;
    std::unique_ptr<Event> named[NAMED];
};

void hear(std::vector<uint64_t>& seen, const std::vector<uint64_t>& told) {
    if (told.empty()) return;
    seen.resize(NOBODY);
    for (int i = 0; i < NOBODY; ++i) seen[i] = std::max(seen[i], told[i]);
}

// From now on reads are remembered for each warp of the block.
void begin_pipelines(Worker* w) {
    if (w->readers) return;
    if (w->count > NOBODY - 32) emulator_misuse("a barrier of some threads", "the block has more than 992 threads", nullptr, 0);
    if (!w->memory->readers) w->memory->readers = static_cast<Cell*>(reserve(32 * SHARED / 2 * sizeof(Cell)));
    w->readers = w->memory->readers;
    w->pipelines = std::make_unique<Pipelines>();
}

// Ends the phase if everybody and everything is there: copies land, and who waited may go on.
bool settle(Worker* w, Event& e) {
    if (e.arrived < e.expected || e.bytes) return false;
    for (const BulkCopy& c : e.copies) {
        if (c.from)
            memcpy(c.to, c.from, c.bytes);
        else
            memset(c.to, 0, c.bytes);
        const size_t low = c.to - w->shared;
        for (size_t i = low / 16; i < (low + c.bytes) / 16; ++i) w->pending[i] = 0;
        for (size_t k = low / 2; k < (low + c.bytes) / 2; ++k)
            w->shadow->writes[k].store(cell(w->serial, ONE, NOBODY - 1 - e.number, w->clock), std::memory_order_relaxed);
    }
    ++w->clock;
    e.told.resize(NOBODY);
    if (!e.copies.empty()) e.told[NOBODY - 1 - e.number] = w->clock;
    hear(e.ended, e.told);
    e.told.clear();
    e.copies.clear();
    e.arrived = 0;
    ++e.phase;
    if (e.waiting)
        for (Thread& t : w->threads)
            if (t.event == &e) t.event = nullptr, t.state = READY;
    e.waiting = 0;
    return true;
}

void arrive(Worker* w, Event& e) {
    Thread* t = w->current;
    e.told.resize(NOBODY);
    hear(e.told, t->seen);
    const int first = t->id / 32 * 32;
    for (int i = first; i < std::min(first + 32, w->count); ++i) e.told[i] = std::max(e.told[i], w->warps[t->id / 32].synced);
    e.told[t->id] = ++w->clock;
    ++e.arrived;
    if (e.copies.empty() || e.waiting) settle(w, e);
}

void wait_while(Worker* w, Event& e, uint64_t phase_is, uint64_t of, const char* file, int line) {
    Thread* t = w->current;
    while (e.phase % of == phase_is % of && !settle(w, e)) {
        t->file = file;
        t->line = line;
        t->event = &e;
        t->state = AT_EVENT;
        ++e.waiting;
        yield(w);
    }
    hear(t->seen, e.ended);
}

// Nobody can go on, and somebody waits for an event: best for one that misses bytes.
void hang(Worker* w) {
    const Thread* waits = nullptr;
    for (const Thread& t : w->threads)
        if (t.state == AT_EVENT && (!waits || (t.event->bytes && !waits->event->bytes))) waits = &t;
    const Event& e = *waits->event;
    static char text[160];
    if (Fault* f = first_fault(w, HANG, waits, {nullptr, waits->file, waits->line})) {
        snprintf(text, sizeof text, "%d of %d arrivals, %lld bytes %s", e.arrived, e.expected, static_cast<long long>(std::llabs(e.bytes)),
                 e.bytes < 0 ? "more than were announced" : "missing");
        f->what = e.at ? "mbarrier" : "named barrier";
        f->other_file = text;
    }
}

// Whether nobody did anything but wait for other blocks for too long: a minute, or once if no others run beside this one.
bool in_vain(Worker* w, bool moved, uint64_t& rounds) {
    const Thread* t = w->paused;
    w->paused = nullptr;
    if (moved || !t) return rounds = 0;
    usleep(50);
    if (w->beside && ++rounds < 1000000) return false;
    if (Fault* f = first_fault(w, HANG, t, {nullptr, t->file, t->line})) {
        f->what = "a flag in global memory";
        f->other_file = "whose value no block before this one gives (blocks run in any order: let them draw their numbers)";
    }
    return true;
}

// --- products of a warpgroup -----------------------------------------------------------------------------------------
void run_products(void* const* lanes) {
    Worker* w = worker;
    Thread* first = &w->threads[w->current->id / 32 * 32];
    const int groups = *static_cast<const int*>(lanes[0]);
    const size_t count = first->products.size();
    size_t done = 0;
    for (; done < count && first->products[done].group < first->product_groups - groups; ++done) {
        const Product& p = first->products[done];
        void* operands[32];
        for (int i = 0; i < 32; ++i) {
            if (first[i].products.size() != count || first[i].products[done].compute != p.compute)
                emulator_misuse("wgmma", "the threads of a warp asked for different products", p.file, p.line);
            operands[i] = first[i].products[done].operand;
        }
        p.compute(operands);
        count_tensor(first->id, p.operations, {nullptr, p.file, p.line});
    }
    for (int i = 0; i < 32; ++i) first[i].products.erase(first[i].products.begin(), first[i].products.begin() + done);
}

Event& mbarrier_of(Worker* w, const void* at, const char* file, int line) {
    w->counted_as = NOBODYS;
    access(w, w->current, at, 8, UPDATE, {nullptr, file, line});
    w->counted_as = ITSELF;
    if (w->pipelines)
        for (const auto& e : w->pipelines->mbarriers)
            if (e->at == at) return *e;
    emulator_misuse("mbarrier", "nobody has initialised it", file, line);
}

}  // namespace

// --- what kernels call -----------------------------------------------------------------------------------------------
void emulator_mbarrier_init(void* barrier, int count, const char* file, int line) {
    Worker* w = worker;
    begin_pipelines(w);
    access(w, w->current, barrier, 8, WRITE, {nullptr, file, line});
    memset(barrier, 0, 8);
    auto& all = w->pipelines->mbarriers;
    if (all.size() == 32) emulator_misuse("mbarrier", "the emulator knows 32 of a block", file, line);
    all.push_back(std::make_unique<Event>(Event{barrier, static_cast<int>(all.size()), count}));
}

void emulator_mbarrier_arrive(void* barrier, int64_t bytes, const char* file, int line) {
    Worker* w = worker;
    Event& e = mbarrier_of(w, barrier, file, line);
    if (e.arrived == e.expected && !settle(w, e)) emulator_misuse("mbarrier", "more arrivals than it expects", file, line);
    e.bytes += bytes;
    arrive(w, e);
}

void emulator_mbarrier_wait(void* barrier, int parity, const char* file, int line) {
    Worker* w = worker;
    Event& e = mbarrier_of(w, barrier, file, line);
    wait_while(w, e, parity, 2, file, line);
}

void emulator_named_barrier(int number, int count, bool waits, const char* file, int line) {
    Worker* w = worker;
    if (number <= 0 || number >= NAMED) emulator_misuse("named barrier", "its number must be 1 to 15", file, line);
    if (count % 32) emulator_misuse("named barrier", "it counts whole warps of 32 threads", file, line);
    begin_pipelines(w);
    auto& event = w->pipelines->named[number];
    if (!event) event = std::make_unique<Event>(Event{nullptr, number, count});
    if (!event->arrived && !event->waiting) event->expected = count;
    if (event->expected != count) emulator_misuse("named barrier", "others come with another number of threads", file, line);
    const uint64_t phase = event->phase;
    arrive(w, *event);
    if (waits) wait_while(w, *event, phase, UINT64_MAX, file, line);
}

// The fields of a tensor map in the emulator (tensor_map.py); CUDA's own are its secret.
struct EmulatedMap {
    uint64_t address, size[4], stride[3], element, box[2];
};

// Ask for 16 bytes, zeros where there is nothing to copy: the caller's access, and to the counters one of a lane of its warp,
// as one request has everything copied.
static void ask(Worker* w, Event& e, int lane, const void* from, uint64_t to, Where here) {
    Thread* t = w->current;
    w->counted_as = t->id / 32 * 32 + lane % 32;
    if (from) access(w, t, from, 16, READ, here);
    access(w, t, reinterpret_cast<const void*>(to), 16, WRITE, here);
    w->counted_as = ITSELF;
    w->pending[(to - reinterpret_cast<uint64_t>(w->shared)) / 16] = static_cast<uint16_t>(t->id + 1);
    e.copies.push_back({reinterpret_cast<char*>(to), static_cast<const char*>(from), 16});
    e.bytes -= 16;
}

void emulator_copy_tensor(void* shared, const void* map, const int (&at)[4], void* barrier, const char* file, int line) {
    Worker* w = worker;
    Event& e = mbarrier_of(w, barrier, file, line);
    const auto& m = *static_cast<const EmulatedMap*>(map);
    const auto to = reinterpret_cast<uint64_t>(shared), row_bytes = m.box[0] * m.element;
    if (row_bytes != 128) emulator_misuse("cp.async.bulk.tensor", "rows of a box must be the 128 bytes that are permuted", file, line);
    if (to % 128) fault(w, MISALIGNED, w->current, to, 128, true, {nullptr, file, line});
    const auto has = [&](int axis, int64_t i) { return i >= 0 && uint64_t(i) < m.size[axis]; };
    int lane = 0;
    for (uint64_t row = 0; row < m.box[1]; ++row)
        for (uint64_t byte = 0; byte < row_bytes; byte += 16, ++lane) {
            const int64_t column = at[0] + static_cast<int64_t>(byte / m.element), i = at[1] + static_cast<int64_t>(row);
            const uint64_t from = m.address + column * m.element + i * m.stride[0] + at[2] * m.stride[1] + at[3] * m.stride[2];
            const bool valid = has(0, column) && has(1, i) && has(2, at[2]) && has(3, at[3]);
            const uint64_t place = to + row * row_bytes + byte, permuted = place ^ (place >> 7 & 7) << 4;
            ask(w, e, lane, valid ? reinterpret_cast<const void*>(from) : nullptr, permuted, {nullptr, file, line});
        }
    if (e.waiting) settle(w, e);
}

void emulator_copy_bytes(void* shared, const void* global, int bytes, void* barrier, const char* file, int line) {
    Worker* w = worker;
    Event& e = mbarrier_of(w, barrier, file, line);
    if (bytes % 16) emulator_misuse("cp.async.bulk", "it copies multiples of 16 bytes", file, line);
    for (int i = 0; i < bytes; i += 16)
        ask(w, e, i / 16, static_cast<const char*>(global) + i, reinterpret_cast<uint64_t>(shared) + i, {nullptr, file, line});
    if (e.waiting) settle(w, e);
}

void emulator_product(const void* operand, size_t bytes, emulator_compute compute, int operations, const char* file, int line) {
    Thread* t = worker->current;
    if (bytes > sizeof(Product::operand)) emulator_misuse("wgmma", "its operands take more room than there is", file, line);
    t->products.push_back({compute, {}, operations, t->product_groups, file, line});
    memcpy(t->products.back().operand, operand, bytes);
}

void emulator_product_commit() { ++worker->current->product_groups; }

void emulator_product_wait(int groups, const char* file, int line) { emulator_warp(&groups, run_products, file, line); }

void emulator_pause(const char* file, int line) {
    Worker* w = worker;
    Thread* t = w->current;
    if (w->stop->load()) w->failed = true;
    t->file = file;
    t->line = line;
    w->paused = t;
    yield(w);
}
