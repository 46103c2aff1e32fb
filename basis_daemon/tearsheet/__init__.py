"""How a book fared, for who judges it: one page of figures and charts out of its journal."""
