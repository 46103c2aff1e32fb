// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// What the receiver must survive. Compiled by the tests, deployed nowhere else.

interface IErc20 {
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
    function balanceOf(address owner) external view returns (uint256);
}

/// Stands in for a liquid staking token: mints to whoever pays ether, and misbehaves as it is told.
contract HostileToken {
    enum Mode {
        HONEST,
        ANSWERS_FALSE,
        ANSWERS_NOTHING,
        TAKES_FEE,
        KEEPS_DUST,
        CALLS_BACK,
        CALLS_BACK_QUIETLY
    }

    uint256 private constant DUST = 10;

    Mode public mode;
    address public target;
    bytes public message;
    bool public wasLetIn;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    uint256 public totalSupply;

    event Transfer(address indexed from, address indexed to, uint256 amount);

    function become(Mode wanted, address called, bytes calldata said) external {
        mode = wanted;
        target = called;
        message = said;
    }

    function decimals() external pure returns (uint8) {
        return 18;
    }

    /// What the price feed asks its issuer.
    function stEthPerToken() external pure returns (uint256) {
        return 1e18;
    }

    receive() external payable {
        mint(msg.sender, msg.value);
    }

    function mint(address to, uint256 amount) public {
        balanceOf[to] += amount;
        totalSupply += amount;
        emit Transfer(address(0), to, amount);
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return _answer();
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _move(msg.sender, to, amount);
        return _answer();
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
        return _answer();
    }

    function _move(address from, address to, uint256 amount) private {
        uint256 taken = mode != Mode.KEEPS_DUST ? amount : amount > DUST ? amount - DUST : 0;
        balanceOf[from] -= taken;
        uint256 fee = mode == Mode.TAKES_FEE ? taken / 100 : 0;
        balanceOf[to] += taken - fee;
        totalSupply -= fee;
        emit Transfer(from, to, taken);
        if (mode == Mode.CALLS_BACK || mode == Mode.CALLS_BACK_QUIETLY) {
            (bool done, bytes memory answer) = target.call(message);
            wasLetIn = wasLetIn || done;
            if (!done && mode == Mode.CALLS_BACK) {
                assembly ("memory-safe") {
                    revert(add(answer, 32), mload(answer))
                }
            }
        }
    }

    function _answer() private view returns (bool) {
        if (mode == Mode.ANSWERS_NOTHING) {
            assembly ("memory-safe") {
                return(0, 0)
            }
        }
        return mode != Mode.ANSWERS_FALSE;
    }
}

/// A router that takes what it was allowed and pays a share of what it says, in parts of ten thousand.
contract HostileRouter {
    uint256 public immutable PAID;

    constructor(uint256 paid) {
        PAID = paid;
    }

    struct ExactInputSingleParams {
        address tokenIn;
        address tokenOut;
        uint24 fee;
        address recipient;
        uint256 deadline;
        uint256 amountIn;
        uint256 amountOutMinimum;
        uint160 sqrtPriceLimitX96;
    }

    function exactInputSingle(ExactInputSingleParams calldata given) external payable returns (uint256) {
        IErc20(given.tokenIn).transferFrom(msg.sender, address(this), given.amountIn);
        IErc20(given.tokenOut).transfer(given.recipient, given.amountOutMinimum * PAID / 10_000);
        return type(uint256).max;
    }
}

/// Borrows from a lender for the receiver and asks it to act, from inside another loan.
contract Nested {
    function run(address lender, bytes calldata first, address second, bytes calldata then) external {
        (bool done,) = lender.call(first);
        require(done, "first");
        (done,) = second.call(then);
        require(done, "second");
    }
}
