// Where the code of coir's own libraries lies, so that a walk up a stack sees which frames are theirs.
#pragma once

#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstring>

// The linker's name for the beginning of the object that this is linked into.
extern "C" __attribute__((visibility("hidden"))) const ElfW(Ehdr) __ehdr_start;

namespace coir::wait {

struct code_range {
  std::uintptr_t begin = 0, end = 0;

  bool holds(std::uintptr_t at) const noexcept { return at - begin < end - begin; }
};

namespace {

// The code of the shared library that the caller is part of. Empty where coir was linked into something else:
// coir's functions cannot be told from others there.
[[maybe_unused]] code_range own_code() noexcept {
  const auto base = reinterpret_cast<std::uintptr_t>(&__ehdr_start);
  const auto* header = reinterpret_cast<const ElfW(Phdr)*>(base + __ehdr_start.e_phoff);
  const auto type_of = [](const ElfW(Phdr) & h) {  // <resolv.h> has a macro of the member's name
    std::uint32_t type;
    std::memcpy(&type, &h, sizeof type);
    return type;
  };
  std::uintptr_t bias = base;
  for (int i = 0; i < __ehdr_start.e_phnum; ++i)
    if (type_of(header[i]) == PT_LOAD && header[i].p_offset == 0) bias = base - header[i].p_vaddr;
  code_range code;
  const ElfW(Dyn)* dynamic = nullptr;
  for (int i = 0; i < __ehdr_start.e_phnum; ++i, ++header) {
    const std::uintptr_t at = bias + header->p_vaddr;
    if (type_of(*header) == PT_LOAD && (header->p_flags & PF_X) != 0) code = {at, at + header->p_memsz};
    if (type_of(*header) == PT_DYNAMIC) dynamic = reinterpret_cast<const ElfW(Dyn)*>(at);
  }
  if (dynamic == nullptr) return {};
  std::uintptr_t strings = 0, name = 0;
  for (; dynamic->d_tag != DT_NULL; ++dynamic) {
    if (dynamic->d_tag == DT_STRTAB) strings = dynamic->d_un.d_ptr;
    if (dynamic->d_tag == DT_SONAME) name = dynamic->d_un.d_val;
  }
  if (name == 0 || strings < base) return {};  // a loader that relocates nothing in the table is not glibc's
  return std::strncmp(reinterpret_cast<const char*>(strings + name), "libcoir", 7) == 0 ? code : code_range{};
}

}  // namespace
}  // namespace coir::wait
