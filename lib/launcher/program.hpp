// The program that is to be run: where it is, and whether the dynamic linker will honour LD_PRELOAD in it.
#pragma once

#include <string>

namespace coir::launcher {

struct program {
  std::string path;         // the file to execute; holds a '/'
  std::string image;        // the ELF file that will be loaded: `path`, or the interpreter of a script
  bool dynamic = false;     // the image asks for a dynamic linker
  bool privileged = false;  // it runs with rights of its own (setuid, setgid, capabilities)
  bool foreign = false;     // it is for another kind of processor than coir-run
};

// Looks for `name` as execvp does, and follows the #! lines of scripts.
// Throws failure (not_found, not_executable).
program find_program(const std::string& name);

// Throws failure (not_executable) that says why, if LD_PRELOAD would be ignored.
void check_preloadable(const program& p);

// Whether the symbol table of the ELF file `path` holds a definition of `symbol`. False if it is stripped.
bool defines_symbol(const std::string& path, const char* symbol);

}  // namespace coir::launcher
