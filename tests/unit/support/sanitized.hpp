// Which sanitizer this build has: COIR_ASAN, COIR_TSAN as in the library, and UNIT_SANITIZED for either.
#pragma once

#include "context/annotate.hpp"

#if defined(COIR_ASAN) || defined(COIR_TSAN)
#define UNIT_SANITIZED 1
#endif
