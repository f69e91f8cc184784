#include "isoflop/pool.hpp"

#include <unistd.h>

namespace isoflop {

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  begin_.notify_all();
  const bool ours = process_ == getpid();
  for (std::thread& thread : threads_)
    if (ours) thread.join();
    else thread.detach();
}

void Pool::run(int threads, const std::function<void(int)>& work) {
  grow(threads);
  {
    const std::lock_guard lock(mutex_);
    work_ = &work;
    asked_ = threads;
    busy_ = threads - 1;
    ++round_;
  }
  if (threads > 1) begin_.notify_all();
  work(0);
  std::unique_lock lock(mutex_);
  end_.wait(lock, [this] { return busy_ == 0; });
}

void Pool::grow(int threads) {
  if (process_ != getpid()) {
    for (std::thread& thread : threads_) thread.detach();
    threads_.clear();
    process_ = getpid();
  }
  while (static_cast<int>(threads_.size()) < threads - 1)
    threads_.emplace_back(&Pool::serve, this, static_cast<int>(threads_.size()) + 1, round_);
}

void Pool::serve(int thread, std::uint64_t seen) {
  std::unique_lock lock(mutex_);
  while (true) {
    begin_.wait(lock, [&] { return leaving_ || round_ != seen; });
    if (leaving_) return;
    seen = round_;
    if (thread >= asked_) continue;
    lock.unlock();
    (*work_)(thread);
    lock.lock();
    if (--busy_ == 0) end_.notify_one();
  }
}

}  // namespace isoflop
