#pragma once

#include <string>
#include <string_view>

#include "runtime/analyze/trace_reader.hpp"

namespace pikv::runtime::analyze {

struct PageName {
  shards::StreamId stream;
  std::int32_t layer = 0, block = 0;
};
/// `STREAM:LAYER:BLOCK`, the stream as 32 hexadecimal digits. Throws InputError.
PageName parse_page_name(std::string_view text);

/// A page's whole life, an event a line. Throws RunError if the trace has no events, or none of this page.
std::string explain(Trace const& trace, PageName const& page);

}   // namespace pikv::runtime::analyze
