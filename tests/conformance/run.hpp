// Runs one row in this process.
#pragma once

#include <string>
#include <vector>

#include "host.hpp"

namespace conformance {

// Sorted by name; ends the program if two have the same.
std::vector<const row*> all_rows();

// Returns what was noted, as main.cpp says.
std::string run_row(const row& r, const host& h);

// From now on, SIGTERM ends the process after writing to `output` what the row in progress has noted.
void note_hangs_to(int output);

}  // namespace conformance
