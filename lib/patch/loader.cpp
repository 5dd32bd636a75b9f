// dlopen and dlclose. libc's dlopen looks at where it returns to: an object's own DT_RUNPATH says where a
// bare name is looked for. So the hook is a jump to whatever is to be called, and what is called in libc's
// place is left alone where that would make a difference.
#include <dlfcn.h>

#include "patch/hook.hpp"
#include "posix/loader.hpp"

namespace posix = coir::posix;
using coir::sys::real;
COIR_HOOKS_OF(threads)

namespace {

void* open_alone(const char* file, int mode) {
  const posix::loader_lock alone;
  return real.dlopen(file, mode);
}

// Of the call that coir_way_of_dlopen sends on: nothing else runs in between.
constinit thread_local const void* calling __attribute__((tls_model("initial-exec"))) = nullptr;

// What its caller's own search path finds, by its name; so nothing depends on the caller any more.
void* open_for_caller(const char* file, int mode) {
  const void* caller = calling;
  const posix::loader_lock alone;
  char path[PATH_MAX];
  void* loaded = real.dlopen(file, mode | RTLD_NOLOAD);  // known by that name from elsewhere
  if (loaded != nullptr) return loaded;
  ::dlerror();
  return real.dlopen(posix::find_for_caller(file, caller, path) ? path : file, mode);
}

}  // namespace

// What __wrap_dlopen goes on with. One of which only libc knows how it depends on its caller waits for those
// that are at it, and is no more alone after that.
extern "C" __attribute__((visibility("hidden"), used)) auto coir_way_of_dlopen(const char* file, int,
                                                                               const void* caller)
    -> void* (*)(const char*, int) {
  if (file == nullptr || !COIR_COOPERATIVE) return real.dlopen;
  if (!posix::depends_on_caller(file, caller)) return open_alone;
  char path[PATH_MAX];
  if (posix::find_for_caller(file, caller, path)) {
    calling = caller;
    return open_for_caller;
  }
  const posix::loader_lock not_beside_others;
  return real.dlopen;
}

#if defined(__x86_64__)
__asm__(
    ".pushsection coir_hooks,\"ax\",@progbits\n"
    ".p2align 4\n"
    ".globl __wrap_dlopen\n"
    ".hidden __wrap_dlopen\n"
    ".type __wrap_dlopen, @function\n"
    "__wrap_dlopen:\n"
    ".cfi_startproc\n"
    "  pushq %rdi\n"
    ".cfi_adjust_cfa_offset 8\n"
    "  pushq %rsi\n"
    ".cfi_adjust_cfa_offset 8\n"
    "  subq $8, %rsp\n"
    ".cfi_adjust_cfa_offset 8\n"
    "  movq 24(%rsp), %rdx\n"
    "  call coir_way_of_dlopen\n"
    "  addq $8, %rsp\n"
    ".cfi_adjust_cfa_offset -8\n"
    "  popq %rsi\n"
    ".cfi_adjust_cfa_offset -8\n"
    "  popq %rdi\n"
    ".cfi_adjust_cfa_offset -8\n"
    "  jmp *%rax\n"
    ".cfi_endproc\n"
    ".size __wrap_dlopen, .-__wrap_dlopen\n"
    ".popsection\n");
#else
__asm__(
    ".pushsection coir_hooks,\"ax\",@progbits\n"
    ".p2align 4\n"
    ".globl __wrap_dlopen\n"
    ".hidden __wrap_dlopen\n"
    ".type __wrap_dlopen, @function\n"
    "__wrap_dlopen:\n"
    ".cfi_startproc\n"
    "  stp x29, x30, [sp, -32]!\n"
    ".cfi_def_cfa_offset 32\n"
    ".cfi_offset x29, -32\n"
    ".cfi_offset x30, -24\n"
    "  stp x0, x1, [sp, 16]\n"
    "  mov x2, x30\n"
    "  bl coir_way_of_dlopen\n"
    "  mov x16, x0\n"
    "  ldp x0, x1, [sp, 16]\n"
    "  ldp x29, x30, [sp], 32\n"
    ".cfi_restore x29\n"
    ".cfi_restore x30\n"
    ".cfi_def_cfa_offset 0\n"
    "  br x16\n"
    ".cfi_endproc\n"
    ".size __wrap_dlopen, .-__wrap_dlopen\n"
    ".popsection\n");
#endif

COIR_WRAPPING_HOOK int __wrap_dlclose(void* object) noexcept {
  if (!COIR_COOPERATIVE) return real.dlclose(object);
  const posix::loader_lock alone;
  return real.dlclose(object);
}
