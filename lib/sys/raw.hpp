// Raw system calls, under the name that most of coir knows them by.
#pragma once

#include "base/raw.hpp"

namespace coir::sys {

using base::raw;
using base::word;

}  // namespace coir::sys
