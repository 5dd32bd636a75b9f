// How a call in another process ended, as bytes. An exception: its kind, the code and category of a
// system_error, the name of its type, its text.
#include <cxxabi.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <system_error>
#include <typeinfo>

#include "coir/detail/process_pool_core.hpp"
#include "coir/remote_error.hpp"

namespace coir::detail {
namespace {

enum kind : char {
  value = outcome_value,
  other,
  out_of_memory,
  generic_code,
  system_code,
  first_standard,  // in the order of `standard`
};

struct standard_type {
  const std::type_info& type;
  void (*raise)(const std::string& text);
};

template <class E>
constexpr standard_type rebuilt() {
  return {typeid(E), [](const std::string& text) { throw E(text); }};
}

const standard_type standard[] = {
    rebuilt<std::invalid_argument>(), rebuilt<std::domain_error>(),    rebuilt<std::length_error>(),
    rebuilt<std::out_of_range>(),     rebuilt<std::logic_error>(),     rebuilt<std::range_error>(),
    rebuilt<std::overflow_error>(),   rebuilt<std::underflow_error>(), rebuilt<std::runtime_error>(),
};

std::string type_name(const std::type_info* type) {
  if (type == nullptr) return "?";
  std::string name = type->name();
  int status = 0;
  if (char* readable = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status)) {
    name = readable;
    std::free(readable);
  }
  return name;
}

struct header {
  kind what;
  std::int32_t code;
  std::uint32_t type_size;
};

std::string encode(kind what, const std::string& type, std::string text, int code = 0) {
  const header h{what, code, static_cast<std::uint32_t>(type.size())};
  return std::string(reinterpret_cast<const char*>(&h), sizeof h) + type + text;
}

std::string encode(const std::exception& e) {
  const std::type_info& type = typeid(e);
  if (type == typeid(std::bad_alloc)) return encode(out_of_memory, "", "");
  for (std::size_t i = 0; i < std::size(standard); ++i)
    if (type == standard[i].type) return encode(static_cast<kind>(first_standard + i), "", e.what());
  if (type == typeid(std::system_error)) {
    const std::error_code code = static_cast<const std::system_error&>(e).code();
    const bool generic = code.category() == std::generic_category();
    if (generic || code.category() == std::system_category()) {
      std::string text = e.what();
      const std::string end = ": " + code.message();  // it is added again
      if (text.ends_with(end)) text.resize(text.size() - end.size());
      if (text == code.message()) text.clear();
      return encode(generic ? generic_code : system_code, "", text, code.value());
    }
  }
  return encode(other, type_name(&type), e.what());
}

}  // namespace

std::string encode_exception() {
  try {
    throw;
  } catch (const std::exception& e) {
    return encode(e);
  } catch (...) {
    return encode(other, type_name(std::current_exception().__cxa_exception_type()), "");
  }
}

std::string_view value_of(std::string_view outcome) {
  if (!outcome.empty() && outcome.front() == value) return outcome.substr(1);
  header h;
  if (outcome.size() < sizeof h) throw remote_error("coir::process_pool", "an answer cut short");
  std::memcpy(&h, outcome.data(), sizeof h);
  outcome.remove_prefix(sizeof h);
  const std::string type(outcome.substr(0, h.type_size));
  const std::string text(outcome.substr(type.size()));
  if (h.what >= first_standard && h.what < first_standard + static_cast<int>(std::size(standard)))
    standard[h.what - first_standard].raise(text);
  switch (h.what) {
    case out_of_memory:
      throw std::bad_alloc();
    case generic_code:
    case system_code: {
      const std::error_code code(h.code,
                                 h.what == generic_code ? std::generic_category() : std::system_category());
      throw text.empty() ? std::system_error(code) : std::system_error(code, text);
    }
    default:
      throw remote_error(type, text);
  }
}

}  // namespace coir::detail
