#include "launcher/program.hpp"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>

#include "launcher/elf_file.hpp"
#include "launcher/failure.hpp"

namespace coir::launcher {
namespace {

constexpr int most_scripts = 5;  // a script may name a script: as many as the kernel follows

// 0, or the errno of executing `path`, as far as it can be told beforehand.
int why_not_executable(const std::string& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) return errno;
  if (S_ISDIR(about.st_mode)) return EISDIR;
  if (::access(path.c_str(), X_OK) != 0) return errno;
  return 0;
}

[[noreturn]] void fail(const std::string& name, int error) {
  if (error == ENOENT || error == ENOTDIR)
    throw failure(status::not_found, "'" + name + "': no such program");
  throw failure(status::not_executable, "'" + name + "' cannot be executed: " + std::strerror(error));
}

std::string search(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (const int error = why_not_executable(name)) fail(name, error);
    return name;
  }
  const char* variable = std::getenv("PATH");
  std::string_view folders = variable != nullptr ? variable : "/bin:/usr/bin";
  int worst = ENOENT;
  for (;;) {
    const std::size_t colon = folders.find(':');
    const std::string_view folder = folders.substr(0, colon);
    const std::string path = (folder.empty() ? "." : std::string(folder)) + "/" + name;
    const int error = why_not_executable(path);
    if (error == 0) return path;
    if (error != ENOENT && error != ENOTDIR) worst = error;
    if (colon == std::string_view::npos) fail(name, worst);
    folders.remove_prefix(colon + 1);
  }
}

// The interpreter that the #! line names; the shell for other text, as execvp has it.
std::string interpreter_of(std::string_view text) {
  if (!text.starts_with("#!")) return "/bin/sh";
  text = text.substr(2, text.find('\n') - 2);
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  return std::string(text.substr(0, text.find_first_of(" \t\r")));
}

// Whether the kernel would raise the rights of the process, which makes the dynamic linker ignore LD_PRELOAD.
bool gains_rights(const std::string& path) {
  struct stat about {};
  struct statvfs mount {};
  if (::stat(path.c_str(), &about) != 0 || ::statvfs(path.c_str(), &mount) != 0) return false;
  if ((mount.f_flag & ST_NOSUID) != 0) return false;
  const bool setuid = (about.st_mode & S_ISUID) != 0 && about.st_uid != ::getuid();
  const bool setgid =
      (about.st_mode & S_ISGID) != 0 && (about.st_mode & S_IXGRP) != 0 && about.st_gid != ::getgid();
  const bool capable = ::getuid() != 0 && ::getxattr(path.c_str(), "security.capability", nullptr, 0) > 0;
  return setuid || setgid || capable;
}

}  // namespace

program find_program(const std::string& name) try {
  program result;
  result.path = result.image = search(name);
  for (int scripts = 0;; ++scripts) {
    const elf_file file(result.image);
    if (file.is_elf()) {
      result.foreign = !file.is_native();
      result.dynamic = !result.foreign && file.has_interpreter();
      result.privileged = gains_rights(result.image);
      return result;
    }
    if (scripts == most_scripts) fail(name, ELOOP);
    result.image = interpreter_of(file.bytes());
    if (const int error = why_not_executable(result.image))
      throw failure(status::not_executable, "'" + name + "' cannot be executed: its interpreter '" +
                                                result.image + "': " + std::strerror(error));
  }
} catch (const std::system_error& e) {
  // May be executed, but not read: the linker can load it, we cannot look into it.
  throw failure(status::not_executable, "'" + name + "' cannot be checked: " + e.what());
}

void check_preloadable(const program& p) {
  const std::string who = "'" + p.image + "'" + (p.image == p.path ? "" : ", which runs '" + p.path + "',");
  if (p.foreign)
    throw failure(status::not_executable, who + " is for another kind of processor than this coir-run");
  if (!p.dynamic)
    throw failure(status::not_executable,
                  who +
                      " is statically linked, so nothing can be preloaded into it: link it "
                      "with coir-patch instead (pkg-config --static coir-patch)");
  if (p.privileged)
    throw failure(status::not_executable,
                  who +
                      " has rights of its own (setuid, setgid or capabilities), so the "
                      "dynamic linker ignores LD_PRELOAD: link it with coir-patch instead");
}

bool defines_symbol(const std::string& path, const char* symbol) {
  const elf_file file(path);
  return file.is_native() && file.defines(symbol);
}

}  // namespace coir::launcher
