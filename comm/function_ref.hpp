#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace pikv::comm {

/// A borrowed callable: two pointers, never an allocation. What it refers to must outlive the call it is passed to.
template <typename Signature>
class FunctionRef;

template <typename Result, typename... Args>
class FunctionRef<Result(Args...)> {
 public:
  template <typename F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
  FunctionRef(F&& f)  // NOLINT: converts on purpose, like std::function
      : object_{const_cast<void*>(static_cast<void const*>(std::addressof(f)))},
        call_{[](void* object, Args... args) -> Result {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }} {}
  Result operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  Result (*call_)(void*, Args...);
};

}  // namespace pikv::comm
