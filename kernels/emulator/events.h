// The part of runtime.cpp where some threads wait for others: mbarriers, named barriers, turns of blocks. Included there, after
// the checks of memory accesses.
//
//     event    an mbarrier or a named barrier: a phase ends once as many threads have arrived as it expects, and the bytes
//              that they announced have come
//     seen     what a thread knows of each other one: accesses before that clock are ordered before its own. To arrive is to
//              tell the event, to wait until the phase has ended is to hear from it
//     copies   (asynchronous.h) are as a thread of their own for each mbarrier, numbered from the last down. They land when
//              somebody waits: as late as a GPU might
namespace {

constexpr int KNOWN = 1024;  // threads, and copies, that may be seen
constexpr int NAMED = 16;     // barriers of a block, of which the first is that of __syncthreads

struct BulkCopy {  // 16 bytes of one
    char* to;
    const char* from;  // null: zeros
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

struct Events {
    std::vector<std::unique_ptr<Event>> mbarriers;
    std::unique_ptr<Event> named[NAMED];
};

void hear(std::vector<uint64_t>& seen, const std::vector<uint64_t>& told) {
    if (told.empty()) return;
    seen.resize(KNOWN);
    for (int i = 0; i < KNOWN; ++i) seen[i] = std::max(seen[i], told[i]);
}

// From now on reads are remembered for each warp of the block.
void begin_events(Worker* w) {
    if (w->readers) return;
    if (w->count > KNOWN - 32) emulator_misuse("a barrier of some threads", "the block has more than 992 threads", nullptr, 0);
    if (!w->memory->readers) w->memory->readers = static_cast<Cell*>(reserve(32 * SHARED / 2 * sizeof(Cell)));
    w->readers = w->memory->readers;
    w->events = std::make_unique<Events>();
}

// Ends the phase if everybody and everything is there: copies land, and who waited may go on.
bool settle(Worker* w, Event& e) {
    if (e.arrived < e.expected || e.bytes) return false;
    for (const BulkCopy& c : e.copies) {
        if (c.from)
            memcpy(c.to, c.from, 16);
        else
            memset(c.to, 0, 16);
        const size_t low = c.to - w->shared;
        w->pending[low / 16] = 0;
        for (size_t k = low / 2; k < low / 2 + 8; ++k)
            w->shadow->of[k].write.store(cell(w->serial, ONE, KNOWN - 1 - e.number, w->clock), std::memory_order_relaxed);
    }
    ++w->clock;
    e.told.resize(KNOWN);
    if (!e.copies.empty()) e.told[KNOWN - 1 - e.number] = w->clock;
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
    e.told.resize(KNOWN);
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
    if (moved || !t) {
        rounds = 0;
        return false;
    }
    usleep(50);
    if (w->beside && ++rounds < 1000000) return false;
    if (Fault* f = first_fault(w, HANG, t, {nullptr, t->file, t->line})) {
        f->what = "a flag in global memory";
        f->other_file = "whose value no block before this one gives (blocks run in any order: let them draw their numbers)";
    }
    return true;
}

Event& mbarrier_of(Worker* w, const void* at, const char* file, int line) {
    w->counted_as = NOBODYS;
    access<UPDATE>(w, w->current, at, 8, {nullptr, file, line});
    w->counted_as = ITSELF;
    if (w->events)
        for (const auto& e : w->events->mbarriers)
            if (e->at == at) return *e;
    emulator_misuse("mbarrier", "nobody has initialised it", file, line);
}

}  // namespace

// --- what kernels call -----------------------------------------------------------------------------------------------
void emulator_mbarrier_init(void* barrier, int count, const char* file, int line) {
    Worker* w = worker;
    begin_events(w);
    access<WRITE>(w, w->current, barrier, 8, {nullptr, file, line});
    memset(barrier, 0, 8);
    auto& all = w->events->mbarriers;
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
    begin_events(w);
    auto& event = w->events->named[number];
    if (!event) event = std::make_unique<Event>(Event{nullptr, number, count});
    if (!event->arrived && !event->waiting) event->expected = count;
    if (event->expected != count) emulator_misuse("named barrier", "others come with another number of threads", file, line);
    const uint64_t phase = event->phase;
    arrive(w, *event);
    if (waits) wait_while(w, *event, phase, UINT64_MAX, file, line);
}

void emulator_pause(const char* file, int line) {
    Worker* w = worker;
    Thread* t = w->current;
    if (w->stop->load()) w->failed = true;
    t->file = file;
    t->line = line;
    w->paused = t;
    yield(w);
}
