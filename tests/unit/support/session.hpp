// The body of every test program's main.
#pragma once

namespace unit {

// Catch2's session; not zero if a test failed or left something behind.
int run_session(int argc, char** argv);

}  // namespace unit
