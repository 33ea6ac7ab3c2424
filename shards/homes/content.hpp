#pragma once

#include <memory>

#include "shards/homes.hpp"

namespace pikv::shards {

/// Home `content` (methods 1.1): pages of a stream and layer whose keys point the same way share a KV expert, so that reading few experts finds most
/// of the attention.
///   The first E_kv pages start the experts, in turn from sequence_of(stream) mod E_kv on, in all layers alike; each becomes its expert's centroid.
///   A later page goes to the expert of the highest cosine between its mean key and the centroid (ties: the lower), among those that hold fewer than
///   max(1, ceil(1.25 (pages + 1) / E_kv)) of the pages so far, and the centroid becomes normalise(0.95 centroid + 0.05 mean key / its length).
/// Pages stay where they are when centroids drift. forget() takes the pages from the counts; centroids keep what they learned.
/// State: kv_heads * head_dim floats per expert in use, one integer per page. No mean key, or one that is not finite, is a std::logic_error.
std::unique_ptr<HomePolicy> make_content_home();

}  // namespace pikv::shards
