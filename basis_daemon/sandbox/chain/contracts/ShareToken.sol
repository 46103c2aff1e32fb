// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// A token whose balances are shares of a pool of ether, as stETH's and eETH's are. Amounts round down, always.
abstract contract ShareToken {
    string public name;
    string public symbol;
    uint8 public constant decimals = 18;

    mapping(address => uint256) internal _shares;
    mapping(address => mapping(address => uint256)) public allowance;
    uint256 internal _totalShares;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event TransferShares(address indexed from, address indexed to, uint256 sharesValue);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    constructor(string memory name_, string memory symbol_) {
        name = name_;
        symbol = symbol_;
    }

    /// All ether that the shares stand for, wei.
    function _pooledEther() internal view virtual returns (uint256);

    /// Reverts while transfers are stopped.
    function _requireRunning() internal view virtual;

    function totalSupply() public view returns (uint256) {
        return _pooledEther();
    }

    function balanceOf(address account) public view returns (uint256) {
        return _etherOf(_shares[account]);
    }

    function transfer(address recipient, uint256 amount) external returns (bool) {
        _move(msg.sender, recipient, _sharesFor(amount), amount);
        return true;
    }

    function transferFrom(address sender, address recipient, uint256 amount) external returns (bool) {
        _spend(sender, amount);
        _move(sender, recipient, _sharesFor(amount), amount);
        return true;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    function _sharesFor(uint256 amount) internal view returns (uint256) {
        uint256 pooled = _pooledEther();
        return pooled == 0 ? amount : amount * _totalShares / pooled;
    }

    function _etherOf(uint256 shares) internal view returns (uint256) {
        return _totalShares == 0 ? 0 : shares * _pooledEther() / _totalShares;
    }

    function _spend(address owner, uint256 amount) internal {
        uint256 allowed = allowance[owner][msg.sender];
        if (allowed == type(uint256).max) return;
        require(allowed >= amount, "ALLOWANCE_EXCEEDED");
        allowance[owner][msg.sender] = allowed - amount;
        emit Approval(owner, msg.sender, allowed - amount);
    }

    function _move(address from, address to, uint256 shares, uint256 amount) internal {
        _requireRunning();
        require(from != address(0), "TRANSFER_FROM_ZERO_ADDR");
        require(to != address(0), "TRANSFER_TO_ZERO_ADDR");
        require(to != address(this), "TRANSFER_TO_STETH_CONTRACT");
        require(_shares[from] >= shares, "BALANCE_EXCEEDED");
        _shares[from] -= shares;
        _shares[to] += shares;
        emit Transfer(from, to, amount);
        emit TransferShares(from, to, shares);
    }

    function _mint(address to, uint256 shares) internal {
        _totalShares += shares;
        _shares[to] += shares;
    }

    function _announce(address to, uint256 shares) internal {
        emit Transfer(address(0), to, _etherOf(shares));
        emit TransferShares(address(0), to, shares);
    }

    function _burn(address from, uint256 shares) internal {
        require(_shares[from] >= shares, "BALANCE_EXCEEDED");
        _shares[from] -= shares;
        _totalShares -= shares;
    }
}
