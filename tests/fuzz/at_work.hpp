// Which numbers calls are at work on, for those that must not be made beside others.
#pragma once

#include <limits.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <iterator>

namespace fuzz {

inline std::atomic<int> at_work[1024];  // calls, on each number
inline std::atomic<int> peeking[1024];  // those that look and do not take

inline bool has_counts(int number) {
  return number >= 0 && number < static_cast<int>(std::size(at_work));
}
inline bool others_at_work_on(int number) {
  return has_counts(number) && at_work[number] > 1;
}

inline bool used_by_a_call(int number) {
  return has_counts(number) && at_work[number] > 0;
}

// Whether calls are at work on another number of the same file: who waited longest is told from who else does
// by the number.
inline bool others_by_another_number(int number) {
  struct stat mine = {}, theirs = {};
  if (fstat(number, &mine) != 0) return false;
  for (int n = 0; n < static_cast<int>(std::size(at_work)); ++n)
    if (n != number && at_work[n] > 0 && fstat(n, &theirs) == 0 && theirs.st_ino == mine.st_ino &&
        theirs.st_dev == mine.st_dev)
      return true;
  return false;
}

// Makes a call that receives, -2 instead beside one that only looks: of several that wait for a datagram the
// kernel wakes one, and if that leaves it where it is, the others sleep on beside it. coir wakes them.
template <class Receive>
long receive_from(int number, bool looks_only, Receive receive) {
  if (!has_counts(number)) return receive();
  if (peeking[number] != 0 || (looks_only && at_work[number] > 1) || others_by_another_number(number))
    return -2;
  peeking[number] += looks_only;
  const long r = receive();
  const int error = errno;
  peeking[number] -= looks_only;
  errno = error;
  return r;
}

// Of a long write to a named FIFO coir's reader sees pieces of PIPE_BUF.
inline bool torn(int number, const char* fifo_path, int bytes) {
  struct stat s = {}, named = {};
  return bytes > PIPE_BUF && fstat(number, &s) == 0 && stat(fifo_path, &named) == 0 &&
         s.st_ino == named.st_ino;
}

}  // namespace fuzz
