#include "launcher/elf_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

// This program's own header (the linker defines the name), which says what is native.
extern "C" __attribute__((visibility("hidden"))) const ElfW(Ehdr) __ehdr_start;

namespace coir::launcher {
namespace {

using header = ElfW(Ehdr);
using segment = ElfW(Phdr);
using section = ElfW(Shdr);
using symbol_entry = ElfW(Sym);

const header& own_header() noexcept {
  return __ehdr_start;
}

[[noreturn]] void fail(const std::string& path) {
  throw std::system_error(errno, std::generic_category(), "read " + path);
}

}  // namespace

elf_file::elf_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path);
  struct stat about {};
  void* mapped = nullptr;
  if (::fstat(fd, &about) == 0 && about.st_size > 0)
    mapped = ::mmap(nullptr, static_cast<std::size_t>(about.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
  const int error = errno;
  ::close(fd);
  if (mapped == MAP_FAILED) {
    errno = error;
    fail(path);
  }
  if (mapped == nullptr) return;  // an empty file
  data_ = static_cast<const char*>(mapped);
  size_ = static_cast<std::size_t>(about.st_size);
}

elf_file::~elf_file() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
}

bool elf_file::is_elf() const noexcept {
  return bytes().starts_with(std::string_view(ELFMAG, SELFMAG));
}

bool elf_file::is_native() const noexcept {
  const auto* head = at<header>(0);
  if (head == nullptr || !is_elf()) return false;
  const header& own = own_header();
  return head->e_ident[EI_CLASS] == own.e_ident[EI_CLASS] && head->e_ident[EI_DATA] == own.e_ident[EI_DATA] &&
         head->e_machine == own.e_machine;
}

bool elf_file::has_interpreter() const noexcept {
  const header& head = *at<header>(0);
  const auto* segments = at<segment>(head.e_phoff, head.e_phnum);
  for (std::size_t i = 0; segments != nullptr && i < head.e_phnum; ++i)
    if (segments[i].p_type == PT_INTERP) return true;
  return false;
}

bool elf_file::defines(std::string_view symbol) const noexcept {
  const header& head = *at<header>(0);
  const auto* sections = at<section>(head.e_shoff, head.e_shnum);
  for (std::size_t i = 0; sections != nullptr && i < head.e_shnum; ++i) {
    const section& table = sections[i];
    if ((table.sh_type != SHT_SYMTAB && table.sh_type != SHT_DYNSYM) || table.sh_link >= head.e_shnum)
      continue;
    const section& names = sections[table.sh_link];
    const std::size_t count = table.sh_size / sizeof(symbol_entry);
    const auto* symbols = at<symbol_entry>(table.sh_offset, count);
    const auto* text = at<char>(names.sh_offset, names.sh_size);
    if (symbols == nullptr || text == nullptr) continue;
    for (std::size_t s = 0; s < count; ++s) {
      const std::size_t name = symbols[s].st_name;
      if (symbols[s].st_shndx == SHN_UNDEF || name >= names.sh_size) continue;
      const std::string_view rest(text + name, names.sh_size - name);
      if (rest.starts_with(symbol) && rest.size() > symbol.size() && rest[symbol.size()] == '\0') return true;
    }
  }
  return false;
}

}  // namespace coir::launcher
