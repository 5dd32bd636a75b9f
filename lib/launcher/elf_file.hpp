// A read-only view of an ELF file of this machine's own kind. Everything read is checked against the file's
// size.
#pragma once

#include <link.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace coir::launcher {

class elf_file {
 public:
  // Throws std::system_error if the file cannot be read.
  explicit elf_file(const std::string& path);
  ~elf_file();
  elf_file(const elf_file&) = delete;
  elf_file& operator=(const elf_file&) = delete;

  std::string_view bytes() const noexcept { return {data_, size_}; }
  bool is_elf() const noexcept;
  // The same class, byte order and processor as this program. The two below need this.
  bool is_native() const noexcept;
  bool has_interpreter() const noexcept;
  bool defines(std::string_view symbol) const noexcept;

 private:
  // The object of type T at `offset`, or null if the file ends before its end.
  template <class T>
  const T* at(std::size_t offset, std::size_t count = 1) const noexcept {
    if (offset > size_ || count > (size_ - offset) / sizeof(T) || offset % alignof(T) != 0) return nullptr;
    return reinterpret_cast<const T*>(data_ +
                                      offset);  // SAFETY: in bounds, aligned (data_ is a page), trivial
  }

  const char* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace coir::launcher
