/* libcoir-verify.so, which `coir-run --verify` preloads: the program is loaded and its constructors run, but
 * not its main. If coir-patch is in the process, its constructor has printed the report and ended the process
 * by then; that main would be reached means that it is not. */

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

typedef int main_function(int, char**, char**);
typedef int start_function(main_function*, int, char**, void (*)(void), void (*)(void), void (*)(void),
                           void*);

static int instead_of_main(int argc, char** argv, char** environment) {
  (void)argc;
  (void)environment;
  printf(
      "%s: coir-patch is not in this process, so none of its calls are patched.\n"
      "It was left out of the link line, or dropped by the linker because nothing refers to it by name.\n"
      "Link with the flags of `pkg-config --libs coir-patch` (CMake: the target coir::patch).\n",
      argv[0]);
  fflush(stdout);
  _exit(1);
}

/* Called by the program's entry point; the declaration is not in any header. */
__attribute__((visibility("default"))) int __libc_start_main(main_function* program_main, int argc,
                                                             char** argv, void (*init)(void),
                                                             void (*fini)(void), void (*linker_fini)(void),
                                                             void* stack_end);

int __libc_start_main(main_function* program_main, int argc, char** argv, void (*init)(void),
                      void (*fini)(void), void (*linker_fini)(void), void* stack_end) {
  start_function* start = (start_function*)dlsym(RTLD_NEXT, "__libc_start_main");
  (void)program_main;
  return start(instead_of_main, argc, argv, init, fini, linker_fini, stack_end);
}
