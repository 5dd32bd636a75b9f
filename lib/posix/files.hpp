// read, write and their families as they behave on fibers; see sockets.hpp for what all twins share.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

namespace coir::posix {

// `at`: a file offset, or -1 for the current position. `flags`: RWF_…
ssize_t read(int fd, void* buffer, size_t size) noexcept;
ssize_t write(int fd, const void* buffer, size_t size) noexcept;
// What write_some takes its bytes from. Others may write them out while it waits, so before each try it asks
// anew.
class output_source {
 public:
  virtual iovec rest() noexcept = 0;            // nothing: there is nothing left to do
  virtual void written(size_t n) noexcept = 0;  // before anybody else runs
 protected:
  ~output_source() = default;
};
// Writes what can be written at once, waiting until that is something; 0: nothing is left.
ssize_t write_some(int fd, output_source& from) noexcept;
ssize_t pread(int fd, void* buffer, size_t size, off_t at) noexcept;
ssize_t pwrite(int fd, const void* buffer, size_t size, off_t at) noexcept;
ssize_t preadv2(int fd, const iovec* v, int count, off_t at, int flags, const char* name) noexcept;
ssize_t pwritev2(int fd, const iovec* v, int count, off_t at, int flags, const char* name) noexcept;

ssize_t sendfile(int out, int in, off_t* at, size_t count) noexcept;
ssize_t splice(int in, off64_t* in_at, int out, off64_t* out_at, size_t count, unsigned flags) noexcept;
ssize_t tee(int in, int out, size_t count, unsigned flags) noexcept;
ssize_t vmsplice(int fd, const iovec* v, size_t count, unsigned flags) noexcept;
ssize_t copy_file_range(int in, off64_t* in_at, int out, off64_t* out_at, size_t count,
                        unsigned flags) noexcept;

}  // namespace coir::posix
