// The part of runtime.cpp for what goes on behind the threads' backs on Hopper: bulk copies that end at an mbarrier, products of
// warpgroups. Included there, after events.h.
//
// A copy lands, and products read their operands and write their results, when they are waited for: what reads or overwrites
// an operand before, or reads a result, has the wrong numbers, is a race, or meets a copy that is under way.
namespace {

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
        if (w->counted) count_tensor(first->id, p.operations, {nullptr, p.file, p.line});
    }
    for (int i = 0; i < 32; ++i) first[i].products.erase(first[i].products.begin(), first[i].products.begin() + done);
}

// The fields of a tensor map in the emulator (tensor_map.py); CUDA's own are its secret.
struct EmulatedMap {
    uint64_t address, size[4], stride[3], element, box[2];
};

// Ask for 16 bytes, zeros where there is nothing to copy: the caller's access, and to the counters one of a lane of its warp,
// as one request has everything copied.
void ask(Worker* w, Event& e, int lane, const void* from, uint64_t to, Where here) {
    Thread* t = w->current;
    w->counted_as = t->id / 32 * 32 + lane % 32;
    if (from) access<READ>(w, t, from, 16, here);
    access<WRITE>(w, t, reinterpret_cast<const void*>(to), 16, here);
    w->counted_as = ITSELF;
    w->pending[(to - reinterpret_cast<uint64_t>(w->shared)) / 16] = static_cast<uint16_t>(t->id + 1);
    e.copies.push_back({reinterpret_cast<char*>(to), static_cast<const char*>(from)});
    e.bytes -= 16;
}

}  // namespace

// --- what kernels call -----------------------------------------------------------------------------------------------
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
