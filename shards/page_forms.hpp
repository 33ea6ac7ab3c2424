#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/device.hpp"
#include "shards/page_codecs.hpp"

namespace pikv::shards {

/// The forms of a store's coded pages, where its device reads them. Codecs and device outlive it.
class PageForms {
 public:
  PageForms(kernels::Device& device, PageCodecs const& codecs) : forms_(static_cast<std::size_t>(codecs.tables())) {
    for (std::int32_t table = 0; table < codecs.tables(); ++table) {
      if (codecs.codes(table)) form(table, Level::warm) = device.form(codecs.layout(table, Level::warm));
      if (codecs.cools(table)) form(table, Level::cold) = device.form(codecs.layout(table, Level::cold));
    }
  }

  /// Of a table that is coded, or cools.
  kernels::CodedForm const& at(std::int32_t table, Level level) const { return *forms_[static_cast<std::size_t>(table)][static_cast<std::size_t>(level)]; }

 private:
  std::unique_ptr<kernels::CodedForm const>& form(std::int32_t table, Level level) {
    return forms_[static_cast<std::size_t>(table)][static_cast<std::size_t>(level)];
  }
  std::vector<std::array<std::unique_ptr<kernels::CodedForm const>, levels>> forms_;
};

}  // namespace pikv::shards
