// Catch2's own signal handlers would speak for the children that are meant to abort.
#define CATCH_CONFIG_MAIN
#define CATCH_CONFIG_NO_POSIX_SIGNALS
#include "catch.hpp"
