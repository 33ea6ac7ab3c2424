#include "runtime/units.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <span>
#include <string_view>

#include "comm/error.hpp"

namespace pikv::runtime {
namespace {

template <typename T>
std::optional<T> whole_text(std::string_view text) {
  T value{};
  auto const [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Unit {
  std::string_view name;
  double factor;
};
constexpr std::array<Unit, 6> size_units{{{"KiB", 1024.}, {"MiB", 1048576.}, {"GiB", 1073741824.}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}}};
constexpr std::array<Unit, 5> time_units{{{"us", 1e-6}, {"ms", 1e-3}, {"s", 1.}, {"min", 60.}, {"h", 3600.}}};

double with_unit(Given const& given, std::span<Unit const> units, char const* what, char const* example) {
  std::string names;
  for (auto const& unit : units) names += names.empty() ? unit.name : fmt::format(" {}", unit.name);
  std::string_view const text = given.value;
  auto const digits = std::min(text.find_first_not_of("0123456789."), text.size());
  double number = 0;
  auto const [end, problem] = std::from_chars(text.data(), text.data() + digits, number, std::chars_format::fixed);
  if (digits == 0 || problem != std::errc{} || end != text.data() + digits)
    throw InputError(fmt::format("{} is not a {} (a positive number and one of {}); write for example {}", given.said, what, names, example));
  auto const after = text.find_first_not_of(' ', digits);
  if (after == std::string_view::npos)
    throw InputError(fmt::format("{} has no unit; add one of {}, for example {}", given.said, names, example));
  for (auto const& unit : units)
    if (unit.name == text.substr(after)) {
      if (number * unit.factor > 0) return number * unit.factor;
      throw InputError(fmt::format("{} is nothing; give more than 0, for example {}", given.said, example));
    }
  throw InputError(fmt::format("{} has an unknown unit '{}'; use one of {}", given.said, text.substr(after), names));
}

}  // namespace

std::int64_t whole_number(Given const& given, std::int64_t least, std::int64_t most) {
  auto const value = whole_text<std::int64_t>(given.value);
  if (!value || *value < least || *value > most)
    throw InputError(fmt::format("{} is not a whole number from {} to {}; give one of these", given.said, least, most));
  return *value;
}

std::uint64_t seed_number(Given const& given) {
  auto const value = whole_text<std::uint64_t>(given.value);
  if (!value) throw InputError(fmt::format("{} is not a whole number from 0 to 2^64 - 1; give one of these", given.said));
  return *value;
}

double real_number(Given const& given, double least, double most) {
  auto const value = whole_text<double>(given.value);
  if (!value || !std::isfinite(*value) || *value < least || *value > most)
    throw InputError(fmt::format("{} is not a number from {} to {}; give one of these", given.said, least, most));
  return *value;
}

bool flag(Given const& given) {
  for (auto const* yes : {"true", "on", "yes", "1"})
    if (given.value == yes) return true;
  for (auto const* no : {"false", "off", "no", "0"})
    if (given.value == no) return false;
  throw InputError(fmt::format("{} is neither true nor false; write one of them", given.said));
}

std::uint64_t size_bytes(Given const& given) {
  double const bytes = std::floor(with_unit(given, size_units, "size", "512MiB"));
  if (bytes < 1 || bytes >= 0x1p63) throw InputError(fmt::format("{} is not between 1 byte and 2^63 bytes; give a size like 512MiB", given.said));
  return static_cast<std::uint64_t>(bytes);
}

double seconds(Given const& given) {
  double const value = with_unit(given, time_units, "time", "30s");
  constexpr double longest = 1e9;   // 31 years: keeps deadlines finite
  if (value > longest) throw InputError(fmt::format("{} is longer than 31 years; give a time like 30s", given.said));
  return value;
}

}  // namespace pikv::runtime
