// The files that coir-run puts into LD_PRELOAD.
#pragma once

#include <string>

namespace coir::launcher {

// libcoir-patch.so, and the object that keeps a program's main from being run. Both are looked for where they
// lie once installed, told from where coir-run is, and then where they lie in the build folder. Throw failure
// (internal) if there is none.
std::string find_patch_library();
std::string find_verify_library();

// Puts `library` in front of what LD_PRELOAD holds. Throws failure (internal) if LD_PRELOAD cannot hold the
// name.
void preload(const std::string& library);

}  // namespace coir::launcher
