// What takes most of the time to compile the tests on Catch2. With -Dquick_build=true (.ci/test) it is read
// once for each program. No file relies on it: each includes what it uses, and builds are without it unless
// asked.

#include <coir/coir.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
