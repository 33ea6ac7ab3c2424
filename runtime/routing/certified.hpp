#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pikv::runtime {

/// Which pages must be read so that, for each head, no more than max_error of the softmax is skipped (design.md 3, methods 2.9). Then
/// |o - o'| <= 2 max_error max|v|, since leaving out a share m of the mass moves the output by m (o_left_out - o_read) (methods 0.3, I2).
///
/// Let R be what has been read, of exactly known mass A(R), C the chosen pages, U those skipped. The skipped share is
///   m = A(U) / (A(R) + A(C) + A(U)),
/// which grows with A(U) and falls with A(C); so with A <= A_hi and A >= A_lo of every page
///   m <= H / (A(R) + L + H),   H = sum of A_hi over U,  L = sum of A_lo over C,
/// and H <= max_error / (1 - max_error) (A(R) + L) is enough. That is asked of every head; reading more for one head only lowers H and raises L of
/// the others. The logarithms may be off by a sum of 1e-3 (fp32 sums), which is taken off max_error.
///
///   upper  [pages][q_heads]  log A_hi of the pages not read yet
///   lower  [pages][q_heads]  log A_lo of the same, of which the query must see every token, or empty: nothing is known of them
///   read   [q_heads]         log A(R); -inf: nothing is read
///   chosen                   indices of pages, ascending
/// Per head pages are taken by falling A_hi, as few as will do: of one head, with `lower` empty, no smaller set is enough.
/// max_error is >= 0; NaN is a std::logic_error.
void must_read(std::span<float const> upper, std::span<float const> lower, std::span<float const> read, double max_error,
               std::vector<std::int32_t>& chosen);

/// What to read in a first round, before any mass is known exactly: what must_read would ask for if every page had the mass of its upper bound.
/// Of one head, any set by falling A_hi that is enough holds these pages, so none is read in vain.
void first_guess(std::span<float const> upper, std::span<float const> read, double max_error, std::vector<std::int32_t>& chosen);

/// A lower bound of the share of each head's softmax that was read: A(R) / (A(R) + sum of A_hi over the unread); 1 where nothing is unread; fp32
/// allowed for as above.
///   unread  [pages][q_heads]  log A_hi      recall  [q_heads]
void certified_recall(std::span<float const> read, std::span<float const> unread, std::span<float> recall);

}  // namespace pikv::runtime
