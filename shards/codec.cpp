#include "shards/codec.hpp"

#include <string>

#include "comm/error.hpp"
#include "shards/codecs/none.hpp"
#include "shards/names.hpp"

namespace pikv::shards {

std::map<std::string_view, CodecEntry> const& codecs() {
  static std::map<std::string_view, CodecEntry> const table{
      {"none", {"stores pages as they are", make_none_codec}},
  };
  return table;
}

std::unique_ptr<Codec> make_codec(std::string_view name) {
  auto const& table = codecs();
  if (auto const found = table.find(name); found != table.end()) return found->second.make();
  throw InputError("no codec named '" + std::string{name} + "'; choose one of: " + names_in(table));
}

}  // namespace pikv::shards
