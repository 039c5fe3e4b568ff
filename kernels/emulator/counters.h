// What a profiler asks of the emulator, of launches that are counted; of all others, nothing.
#pragma once
#include <cstddef>
#include <cstdint>

struct Where {  // in the code: a return address, or what the caller says of itself
    const void* pc;
    const char* file;
    int line;
};

void count_end();  // of a block that may stand for others; or of several that do not
// One access of a thread. `how`: 0 read, 1 write, 2 update; `buffer`: of the launch, -1 for shared memory. `offset`: in that
// buffer, or in the block's shared memory. `aligned`: in one instruction.
void count_access(int thread, uint64_t address, std::size_t bytes, int how, int buffer, uint64_t offset, bool aligned, Where at);
void count_vector(int thread, uint64_t address, std::size_t bytes);  // what follows in these bytes is one access
void count_block(int thread, const void* pc);                       // a thread comes to a basic block
void count_sync(int first, int last);                               // threads first … last - 1 have all come here
void count_tensor(int thread, int operations, Where at);            // a warp's part of a product of its warpgroup
