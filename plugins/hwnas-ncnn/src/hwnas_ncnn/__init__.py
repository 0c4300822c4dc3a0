"""ncnn as a runtime and a file format of hwnas, found through entry points."""
