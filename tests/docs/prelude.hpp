// What the pieces of code in docs/ take for granted. Each piece is compiled in a namespace of its own.
#pragma once

#include <array>
#include <chrono>
#include <coir/coir.hpp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "../../docs/tutorial/connection.hpp"

extern const std::string address;
extern const std::vector<std::string> addresses;
std::string ask(const std::string& address);
std::string check(const std::string& address);
std::uint32_t checksum(const std::string& text);
void work();
void save();
void save_head(const std::string& page);
void save_body(const std::string& page);
void store(const std::string& page);

extern coir::fiber<void> task;
extern const std::vector<int> numbers;
extern const std::vector<std::vector<int>> many_numbers;
int add_up(const std::vector<int>& numbers);
