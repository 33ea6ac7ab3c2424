#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "backend.hpp"
#include "kernels/append.hpp"
#include "kernels/gate.hpp"
#include "kernels/linear.hpp"
#include "kernels/merge.hpp"
#include "kernels/norm.hpp"
#include "kernels/pages.hpp"
#include "kernels/rotary.hpp"
#include "kernels/rows.hpp"
#include "kernels/summary.hpp"
#include "kernels/swiglu.hpp"

namespace pikv::kernels {

/// The operations of a step as a backend has them, and where they take their data: Held below. nullptr: it has none of its own.
struct Operations {
  std::byte* (*take)(std::size_t bytes);
  void (*give_back)(std::byte* at);
  void (*copy)(void* to, void const* from, std::size_t bytes);
  Stream& (*stream)();
  void (*on_each_path)(std::function<void()> const& body);   // once per instruction set

  decltype(&host::finish) finish;
  decltype(&host::rms_norm) rms_norm;
  decltype(&host::add) add;
  decltype(&host::gather_rows) gather_rows;
  decltype(&host::add_weighted) add_weighted;
  decltype(&host::rotary_table) rotary_table;
  decltype(&host::rotary) rotary;
  decltype(&host::append) append;
  decltype(&host::swiglu) swiglu;
  decltype(&host::gate) gate;
  decltype(&host::linear) linear, linear_tiled;
  decltype(&cuda::summarise) summarise;
  decltype(&cuda::upper_bounds) upper_bounds, mean_logits;
  decltype(&cuda::gather) gather;
  decltype(&cuda::scatter) scatter;
  decltype(&cuda::checksum) checksum;
};

/// Values where a backend's operations take them.
template <class T>
class Held {
 public:
  Held(Operations const& on, std::size_t size) : on_{&on}, size_{size}, at_{on.take(size * sizeof(T))} {}   // not written yet
  Held(Operations const& on, std::vector<T> const& values) : Held{on, values.size()} { on.copy(at_, values.data(), size_ * sizeof(T)); }
  Held(Held&& from) noexcept : on_{from.on_}, size_{from.size_}, at_{std::exchange(from.at_, nullptr)} {}
  ~Held() {
    if (at_) on_->give_back(at_);
  }

  T* data() const { return reinterpret_cast<T*>(at_); }
  std::size_t size() const { return size_; }
  void put(std::size_t first, std::span<T const> values) { on_->copy(data() + first, values.data(), values.size_bytes()); }
  std::vector<T> values() const {
    std::vector<T> host(size_);
    on_->stream().synchronize();
    on_->copy(host.data(), at_, size_ * sizeof(T));
    return host;
  }

 private:
  Operations const* on_;
  std::size_t size_;
  std::byte* at_;
};

/// Cases on every backend.
class OperationCases : public ::testing::TestWithParam<Backend const*> {
 protected:
  void SetUp() override { PIKV_SKIP_WITHOUT(GetParam()); }

  Operations const& on() { return *GetParam()->operations; }
  Stream& stream() { return on().stream(); }
  template <class T>
  Held<T> hold(std::vector<T> const& values) {
    return {on(), values};
  }
};

/// Every value within `tolerance`, times the wanted value where that is larger than 1 and `relative`.
inline void expect_near(std::vector<float> const& got, std::vector<float> const& wanted, float tolerance, bool relative = false) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], wanted[i], tolerance * (relative ? std::max(1.0f, std::abs(wanted[i])) : 1.0f)) << "at " << i;
}

}  // namespace pikv::kernels
