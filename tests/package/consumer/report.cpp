// Prints what coir::patch::report() tells of this process. Exit status: 0 all names are patched, 1 some are
// not.

#include <coir/coir.hpp>
#include <cstdio>

#include "third.h"

int main() {
  third_sleep(0);
  int missing = 0;
  for (const coir::patch::provider& p : coir::patch::report()) {
    std::printf("%s %s %s\n", p.name.c_str(), p.object.c_str(), p.patched ? "patched" : "not patched");
    missing += p.patched ? 0 : 1;
  }
  return missing == 0 ? 0 : 1;
}
