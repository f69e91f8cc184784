// Threads that wait for work: a step of small models is over in less time than threads take to start. They look for it
// a while before they sleep, as to wake takes a part of such a step as well.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace isoflop {

class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  // work(thread), which throws nothing, for each thread from 0, the caller's, to threads - 1; returns when all have.
  // One run at a time.
  void run(int threads, const std::function<void(int)>& work);

 private:
  void grow(int threads);
  void serve(int thread, std::uint64_t seen);

  std::vector<std::thread> threads_;
  pid_t process_ = 0;  // whose threads they are: a forked child has none of them
  std::mutex mutex_;
  std::condition_variable begin_, end_;
  const std::function<void(int)>* work_ = nullptr;
  std::atomic<std::uint64_t> round_{0};
  int asked_ = 0;
  std::atomic<int> busy_{0};
  bool leaving_ = false;
};

}  // namespace isoflop
