def check(python, names, folder):
    return []
