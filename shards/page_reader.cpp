#include "shards/page_reader.hpp"

#include <algorithm>
#include <cmath>
#include <span>

#include "shards/page_forms.hpp"

namespace pikv::shards {

void PageReader::reserve(std::size_t pages) {
  pages_.reserve(pages);
  plan_.reserve(pages);
}

void PageReader::clear() {
  pages_.clear();
  groups_.clear();
  forms_.clear();
  rows_ = 0;
}

void PageReader::page(Slot slot, std::int64_t first_position, std::int32_t tokens) { pages_.push_back({slot, tokens, first_position}); }

// Of a coded page.
std::int32_t PageReader::form(std::int32_t table, Page const& page) const {
  return table * levels + static_cast<std::int32_t>(options_.codecs->level_of(arena_.size_class(page.slot)));
}

void PageReader::end_group(std::int32_t table, std::int64_t first_position, std::int32_t rows) {
  auto const first = static_cast<std::size_t>(groups_.empty() ? 0 : groups_.back().end_page);
  for (Page const& page : std::span{pages_}.subspan(first)) {
    if (!coded(page)) continue;
    std::int32_t const wanted = form(table, page);
    if (auto const place = std::ranges::lower_bound(forms_, wanted); place == forms_.end() || *place != wanted) forms_.insert(place, wanted);
  }
  groups_.push_back({table, rows, pages(), first_position});
  rows_ += rows;
}

// Every group has its rows in the plan, and of its pages the wanted ones.
template <typename Wanted>
void PageReader::make_plan(Wanted const& wanted) {
  plan_.clear();
  std::int32_t at = 0;
  for (Group const& group : groups_) {
    for (; at < group.end_page; ++at) {
      Page const& page = pages_[static_cast<std::size_t>(at)];
      if (wanted(group, page)) plan_.page(arena_.place(page.slot), page.first_position, page.tokens);
    }
    plan_.end_group(group.first_position, group.rows);
  }
}

// lse_ has the wanted pages alone.
template <typename Wanted>
void PageReader::place_lse(Wanted const& wanted, float* page_lse) const {
  float const* from = lse_.data();
  std::int32_t at = 0;
  for (Group const& group : groups_) {
    std::size_t const n = static_cast<std::size_t>(group.rows) * static_cast<std::size_t>(options_.q_heads);
    for (; at < group.end_page; ++at, page_lse += n)
      if (wanted(group, pages_[static_cast<std::size_t>(at)])) {
        std::copy_n(from, n, page_lse);
        from += n;
      }
  }
}

// `attend` puts the plan's log-sum-exps where the device can, `lse` gets them; null: none are wanted.
template <typename Attend>
void PageReader::attend_plan(float* lse, Attend const& attend) {
  if (lse == nullptr || arena_.device().is_host()) return attend(lse);
  std::size_t const floats = plan_.lse_floats(options_.q_heads);
  attend(device_lse_.resize(floats));
  kernels::copy_out<float>(arena_.device(), {lse, floats}, device_lse_.data());
}

void PageReader::attend(float const* q, kernels::PartialView out, float* page_lse) {
  kernels::Device& device = arena_.device();
  float const scale = 1.0f / std::sqrt(static_cast<float>(options_.layout.head_dim));
  auto const attend_plain = [&](float* lse) {
    attend_plan(lse, [&](float* at) { device.attend(arena_.view(0), plan_.view(), q, options_.q_heads, scale, out, at); });
  };
  if (forms_.empty()) {
    make_plan([](Group const&, Page const&) { return true; });
    return attend_plain(page_lse);
  }
  std::size_t lse_floats = 0;
  for (std::int32_t begin = 0; Group const& group : groups_) {
    lse_floats += static_cast<std::size_t>(group.end_page - begin) * static_cast<std::size_t>(group.rows) * static_cast<std::size_t>(options_.q_heads);
    begin = group.end_page;
  }
  lse_.resize(page_lse != nullptr ? lse_floats : 0);
  float* const lse = page_lse != nullptr ? lse_.data() : nullptr;
  auto const plain = [&](Group const&, Page const& page) { return !coded(page); };
  make_plan(plain);
  attend_plain(lse);
  if (page_lse != nullptr) place_lse(plain, page_lse);
  kernels::PartialView const part = part_.resize(rows_, options_.q_heads, options_.layout.head_dim);
  PageCodecs const& codecs = *options_.codecs;
  for (std::int32_t const wanted : forms_) {
    auto const of_form = [&](Group const& group, Page const& page) { return coded(page) && form(group.table, page) == wanted; };
    make_plan(of_form);
    std::int32_t const table = wanted / levels;
    auto const level = static_cast<Level>(wanted % levels);
    kernels::FormedPool const pool = arena_.coded(codecs.size_class(table, level), options_.forms->at(table, level));
    attend_plan(lse, [&](float* at) { device.attend_coded(pool, plan_.view(), q, options_.q_heads, scale, part, at); });
    if (page_lse != nullptr) place_lse(of_form, page_lse);
    device.merge(out, part, rows_, options_.q_heads, options_.layout.head_dim);
  }
}

}  // namespace pikv::shards
