# One set of flags for every file; exceptions are listed here with their reason.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF) # gnu11 lets gcc contract a*b+c, which would change bits
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin) # rl-train finds rl-jail beside itself

option(RL_WERROR "treat warnings as errors (CI)" OFF)
set(RL_SANITIZE "" CACHE STRING "sanitizers for everything but rl-jail, such as address,undefined")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g -fno-omit-frame-pointer")

add_compile_definitions(_GNU_SOURCE RL_VERSION="${PROJECT_VERSION}")
add_compile_options(
  -ffp-contract=off # fused multiply-add only where written: the one-forward promise
  -fno-math-errno
  -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wcast-qual
  -Wformat=2 -Wundef -Wdouble-promotion -Wswitch-enum -Wwrite-strings
  -include ${CMAKE_SOURCE_DIR}/core/banned.h)
if(RL_WERROR)
  add_compile_options(-Werror)
endif()
if(RL_SANITIZE)
  set(RL_SANITIZE_FLAGS -fsanitize=${RL_SANITIZE} -fno-sanitize-recover=all)
endif()
option(RL_FUZZ "build the fuzz targets as libFuzzer programs (clang)" OFF)
if(RL_FUZZ AND CMAKE_C_COMPILER_ID MATCHES Clang)
  list(APPEND RL_SANITIZE_FLAGS -fsanitize=fuzzer-no-link) # the fuzzer steers by the coverage of the rooms
endif()

# Files whose name ends in an instruction set are compiled for it; cpuid.c picks at run time.
# Elsewhere those files compile to nothing and plain C runs.
function(rl_isa_flags)
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    return()
  endif()
  if(RL_FUZZ) # no fuzzer gets there, and clang takes minutes over their loops with both instrumentations
    set(plain ";-fno-sanitize=all")
  endif()
  foreach(source ${ARGN})
    if(source MATCHES "_avx512\\.c$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mavx2;-mfma${plain}")
    elseif(source MATCHES "_avx2\\.c$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma${plain}")
    endif()
  endforeach()
endfunction()
