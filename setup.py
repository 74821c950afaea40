"""Compiles the native half: the hot loop, the ring, the plant and the simulated NVML library.

EAGENT_BUILD=debug   bounds checks, assertions and no optimisation
EAGENT_BUILD=trace   line tracing, for coverage of the .pyx files
EAGENT_BUILD=asan    address and undefined-behaviour sanitizers (`make asan` builds so elsewhere and runs the tests)
EAGENT_BUILD=tsan    thread sanitizer (run under LD_PRELOAD of libtsan)
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

BUILD = os.environ.get("EAGENT_BUILD", "release")
FLAGS = {
    "release": ["-O3"],
    "debug": ["-O0", "-g", "-UNDEBUG"],
    "trace": ["-O1"],
    "asan": [  # -fno-wrapv: Python's own flags define what signed overflow does, and then it would not be found
        *("-O1", "-g", "-fno-omit-frame-pointer", "-fno-wrapv"),
        *("-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"),
    ],
    "tsan": ["-O1", "-g", "-fsanitize=thread"],
}
if BUILD not in FLAGS:
    raise SystemExit(f"EAGENT_BUILD={BUILD}: must be one of {', '.join(FLAGS)}")

# Nobody asks for the errno of a square root or traps its floating point: calls become instructions, results stay.
MATHS = ["-fno-math-errno", "-fno-trapping-math"]
COMPILE = ["-std=c11", "-D_GNU_SOURCE", "-fvisibility=hidden", *MATHS, *FLAGS[BUILD]]
STRICT = ["-Wall", "-Wextra", "-Werror"]  # our own C only: Cython's output is not warning-free
LINK = [flag for flag in FLAGS[BUILD] if flag.startswith("-fsanitize")]
MACROS = [("CYTHON_TRACE_NOGIL", "1")] if BUILD == "trace" else []
HEADERS = [str(path) for path in Path("native").rglob("*.h")]
LOOP = [
    f"native/{stem}.c"
    for stem in (
        *("hotloop", "driver", "exposure", "sampler", "reads", "channel", "shed", "ring", "written"),
        *("actuator", "govern", "foreign", "scale", "purse", "ramp", "ceiling", "setting", "zone", "attribute", "nvml"),
    )
]
PLANT = sorted(str(path) for path in Path("native/plant").glob("*.c") if not path.with_suffix(".pyx").exists())
NVMLSIM = [*sorted(str(path) for path in Path("native/nvmlsim").glob("*.c")), *PLANT]
NAMES_OF_535 = "native/nvmlsim/driver535.map"
SONAME = "-Wl,-soname,libnvidia-ml.so.1"


def extension(name: str, sources: list[str], *, strict: bool = False, link: tuple[str, ...] = ()) -> Extension:
    return Extension(
        name,
        sources,
        include_dirs=["native"],
        depends=HEADERS,
        define_macros=MACROS,
        libraries=["m", "dl", "pthread"],
        extra_compile_args=COMPILE + (STRICT if strict else []),
        extra_link_args=[*LINK, *link],
    )


class BuildWithConfig(build_py):
    """Also takes `config` along, as eagent/shipped: the units and the configuration that `eagent service` installs."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # else they are read where they are
            shutil.copytree("config", Path(self.build_lib, "eagent/shipped"), dirs_exist_ok=True)


class BuildOnce(build_ext):
    """Compiles each C file once though a dozen modules are made of the plant, and a file on each core at a time."""

    def build_extensions(self) -> None:
        compile_all, made = self.compiler.compile, {}

        def compile_new(sources: list[str], **options: object) -> list[str]:
            flags = tuple(options["extra_postargs"])  # of our extensions nothing else differs
            new = [source for source in sources if (source, flags) not in made]
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                made.update(
                    zip(
                        [(source, flags) for source in new],
                        pool.map(lambda source: compile_all([source], **options), new),
                        strict=True,
                    )
                )
            return [each for source in sources for each in made[source, flags]]

        self.compiler.compile = compile_new
        super().build_extensions()


setup(
    cmdclass={"build_py": BuildWithConfig, "build_ext": BuildOnce},
    ext_modules=[
        *cythonize(
            [
                extension("eagent.hardware._loop", ["native/loop.pyx", *LOOP]),
                extension("eagent.telemetry._ring", ["native/ringreader.pyx", "native/ring.c"]),
                extension("eagent.sim._handle", ["native/plant/handle.pyx", *PLANT]),
                extension("eagent.sim._plant", ["native/plant/plant.pyx", *PLANT]),
                extension("eagent.sim._maker", ["native/plant/maker.pyx", *PLANT]),
                extension("eagent.sim._bmc", ["native/plant/bmc.pyx", *PLANT]),
                extension("eagent.sim._coarse", ["native/plant/fleet.pyx", *PLANT]),
                extension("eagent.sim._watch", ["native/plant/watch.pyx", *PLANT]),
                extension("eagent.sim._faults", ["native/plant/faults.pyx", *PLANT]),
                extension("eagent.sim._driver", ["native/plant/driver.pyx", *PLANT]),
            ],
            include_path=["native", "."],
            compiler_directives={
                "language_level": 3,
                "boundscheck": BUILD == "debug",
                "wraparound": False,
                "cdivision": True,
                "freethreading_compatible": True,
                "auto_pickle": False,
                "linetrace": BUILD == "trace",
            },
        ),
        # Not Python modules: NVML's C ABI. A simulated host links to one under the name libnvidia-ml.so.1.
        extension("eagent.sim._nvml", NVMLSIM, strict=True, link=(SONAME,)),
        extension("eagent.sim._nvml535", NVMLSIM, strict=True, link=(SONAME, f"-Wl,--version-script={NAMES_OF_535}")),
    ],
)
