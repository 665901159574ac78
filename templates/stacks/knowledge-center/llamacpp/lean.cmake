# CMake reads this behind `project("llama.cpp")` (CMAKE_PROJECT_<name>_INCLUDE). A library for
# llama.cpp's own programs: more than half of the time that compiling takes, and unused here.
set(LLAMA_BUILD_COMMON OFF)
