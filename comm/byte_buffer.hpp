#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "comm/exchange.hpp"

namespace pikv::comm {

/// A message in memory of its own, for World::all_gather: a MessageWriter writes into it as into an exchange.
class ByteBuffer : public Exchange::Outgoing {
 public:
  std::span<std::byte> append(std::size_t bytes) override {
    bytes_.resize(bytes_.size() + bytes);
    return std::span{bytes_}.last(bytes);
  }
  std::size_t size() const override { return bytes_.size(); }
  std::span<std::byte const> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace pikv::comm
