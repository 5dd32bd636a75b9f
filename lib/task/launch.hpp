// A new process running another program.
//
// Made by clone(CLONE_VM | CLONE_VFORK): the child borrows this memory, and the thread waits, until the
// program is loaded, so that a large parent is not copied, other threads' locks do not matter, and the child
// can say what failed. I1: until then the child allocates nothing, makes raw system calls only, and runs no
// handler of the parent's.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace coir::task {

struct launch_plan {
  std::vector<std::string> candidates;  // files to try
  const std::vector<std::string>* arguments = nullptr;
  std::vector<std::string> environment;  // NAME=value
  const char* cwd = nullptr;             // null: stays
  int streams[3] = {-1, -1, -1};         // what becomes 0, 1, 2; above 2; negative: stays
  bool err_to_out = false;
  bool new_session = false;
  bool new_group = false;
  std::vector<int> kept;  // others that it gets, ascending, above 2
};

struct launched {
  pid_t pid;
  int pidfd;  // -1 where the kernel has none
};

// Throws std::system_error: "subprocess PROGRAM: ...", naming the step if it is not that of starting the
// program itself.
launched launch(const launch_plan& plan);

}  // namespace coir::task
