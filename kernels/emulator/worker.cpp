// What the thread at hand runs blocks as, for the runtimes of all libraries: one variable, in a library of its own that is
// loaded before them. A process has room for some two hundred such variables, and more libraries than that.
extern "C" {
__attribute__((tls_model("initial-exec"))) __thread void* emulator_worker = nullptr;
}
