#include "launcher/library.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <system_error>

#include "launcher/failure.hpp"

namespace coir::launcher {
namespace {

namespace fs = std::filesystem;

std::string find(const char* what, std::initializer_list<const char*> places) {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (error) throw failure(status::internal, "/proc/self/exe: " + error.message());
  std::string tried;
  for (const char* place : places) {
    const fs::path path = (self.parent_path() / place).lexically_normal();
    if (::access(path.c_str(), R_OK) == 0) return path;
    tried += "\n  " + path.string() + ": " + std::strerror(errno);
  }
  throw failure(status::internal, std::string(what) + " is not there:" + tried);
}

}  // namespace

std::string find_patch_library() {
  return find("libcoir-patch", {COIR_LIBDIR "/" COIR_PATCH_SONAME, "../" COIR_PATCH_SONAME});
}

std::string find_verify_library() {
  return find("libcoir-verify", {COIR_LIBDIR "/coir/libcoir-verify.so", "libcoir-verify.so"});
}

void preload(const std::string& library) {
  if (library.find_first_of(" :") != std::string::npos)
    throw failure(status::internal,
                  "'" + library + "': LD_PRELOAD cannot hold a name with a space or a colon");
  const char* before = std::getenv("LD_PRELOAD");
  const std::string value = before == nullptr || *before == '\0' ? library : library + ":" + before;
  if (::setenv("LD_PRELOAD", value.c_str(), 1) != 0)
    throw failure(status::internal, std::string("set LD_PRELOAD: ") + std::strerror(errno));
}

}  // namespace coir::launcher
